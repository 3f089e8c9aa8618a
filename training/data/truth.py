"""What the heads are to say of some rows, as tensors. Knows columns and labels; knows no network's answers.

# N rows, H heads of a single label, C classes, T targets"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.columns import Columns
from models.config import ClassificationHead, NetworkConfig, RegressionHead
from models.errors import ManifestError
from models.manifest import Record
from training.data.pairs import UNLABELLED, Pairs, label_numbers, label_vocabularies

Floats = NDArray[np.float32]


class Truth(NamedTuple):
    """The cells of rows, each column in the network's order; an empty cell is masked.

    labels_NH: int64, -1 where a cell is empty or its label unknown.
    label_sets: head → (N, C) float32 of 0 and 1, NaN where the cell is empty.
    targets_NT: float32, in deviations from the training rows' mean, NaN where the cell is empty.
    """

    labels_NH: Tensor
    label_sets: Mapping[str, Tensor]
    targets_NT: Tensor

    def take(self, rows: Tensor | NDArray[np.intp]) -> "Truth":
        """Some rows, by index or mask."""
        sets = {head: found[rows] for head, found in self.label_sets.items()}
        return Truth(self.labels_NH[rows], sets, self.targets_NT[rows])

    def where(self, keep_N: Tensor) -> "Truth":
        """The same rows; those that are not to be kept have no cells."""
        sets = {head: found.masked_fill(~keep_N[:, None], torch.nan) for head, found in self.label_sets.items()}
        return Truth(
            self.labels_NH.masked_fill(~keep_N[:, None], UNLABELLED),
            sets,
            self.targets_NT.masked_fill(~keep_N[:, None], torch.nan),
        )

    def to(self, device: torch.device) -> "Truth":
        """The same on a device."""
        sets = {head: found.to(device) for head, found in self.label_sets.items()}
        return Truth(self.labels_NH.to(device), sets, self.targets_NT.to(device))

    @classmethod
    def of_labels(cls, labels_NH: NDArray[np.int64]) -> "Truth":
        """Of heads of a single label alone."""
        return cls(torch.from_numpy(labels_NH), {}, torch.zeros(len(labels_NH), 0))

    @classmethod
    def of(cls, pairs: Pairs, config: NetworkConfig) -> "Truth":
        """The cells of all rows, for a network's heads."""
        single = {head: config.classes[head].labels for head in config.single_label_heads}
        sets = {
            head: torch.from_numpy(label_matrix(pairs.records, head, part.labels))
            for head, part in config.classes.items()
            if part.multi_label
        }
        targets_NT = np.full((len(pairs.records), len(config.targets)), np.nan, dtype=np.float32)
        for column, (head, part) in enumerate(config.targets.items()):
            targets_NT[:, column] = (target_values(pairs.records, head) - part.mean) / part.std
        return cls(torch.from_numpy(label_numbers(pairs, single)), sets, torch.from_numpy(targets_NT))


def label_matrix(records: Sequence[Record], head: str, labels: Sequence[str]) -> Floats:
    """(N, C): 1 where a label holds, 0 where not, NaN in the rows without a cell; other labels are left out."""
    number = {label: i for i, label in enumerate(labels)}
    matrix_NC = np.full((len(records), len(labels)), np.nan, dtype=np.float32)
    for row, record in enumerate(records):
        if head in record.label_sets:
            matrix_NC[row] = 0
            matrix_NC[row, [number[label] for label in record.label_sets[head] if label in number]] = 1
    return matrix_NC


def target_values(records: Sequence[Record], head: str) -> NDArray[np.float64]:
    """(N,): the cells as they stand, NaN where one is empty."""
    return np.array([record.targets.get(head, np.nan) for record in records], dtype=np.float64)


def find_heads(
    pairs: Pairs, columns: Columns, targets: Mapping[str, RegressionHead]
) -> tuple[dict[str, ClassificationHead], dict[str, RegressionHead]]:
    """The heads that a manifest's columns ask for, with the labels, means and deviations of its training rows.

    Args:
        pairs: the rows with their splits.
        columns: single labels first, then label sets, in this order.
        targets: by column, what the recipe says of its head (a unit, say).

    Raises:
        ManifestError: naming each column that nothing can be learnt from.
    """
    classes: dict[str, ClassificationHead] = {}
    faults: list[str] = []
    for names, multi_label in ((columns.labels, False), (columns.multi_labels, True)):
        try:
            for head, labels in label_vocabularies(pairs, names).items():
                classes[head] = ClassificationHead(labels=labels, multi_label=multi_label)
        except ManifestError as error:
            faults += error.faults
    train = [pairs.records[row] for row in pairs.rows("train")]
    numbers: dict[str, RegressionHead] = {}
    for head in columns.targets:
        values_n = target_values(train, head)
        values_n = values_n[~np.isnan(values_n)]
        # Summing rounds, so of equal numbers the deviation may be a little more than nothing.
        std = float(values_n.std()) if len(np.unique(values_n)) > 1 else 0.0
        if not std:
            faults.append(
                f"{pairs.path.name}: column {head!r} has fewer than two different numbers in train. "
                "Remove it from data.columns.targets."
            )
            continue
        scale = {"mean": float(values_n.mean()), "std": std}
        numbers[head] = targets.get(head, RegressionHead()).model_copy(update=scale)
    if faults:
        raise ManifestError(faults)
    return classes, numbers


def class_balance(truth: Truth, config: NetworkConfig, limit: float) -> dict[str, Tensor]:
    """By classification head, a weight (C,) that gives rare labels as much of the loss as frequent ones.

    A single label weighs n / (C n_c) of its n_c rows among n; of a label set, a label that holds weighs as much as
    all the rows where it does not, (n - n_c) / n_c. Rows without a cell count nowhere.

    Args:
        truth: of the training rows.
        config: of the network.
        limit: no weight is above it, or below its inverse.
    """
    weights: dict[str, Tensor] = {}
    for column, head in enumerate(config.single_label_heads):
        labels_n = truth.labels_NH[:, column]
        counts_C = torch.bincount(labels_n[labels_n != UNLABELLED], minlength=len(config.classes[head].labels))
        weights[head] = counts_C.sum() / (len(counts_C) * counts_C.float())
    for head, matrix_NC in truth.label_sets.items():
        known_nC = matrix_NC[~matrix_NC[:, 0].isnan()]
        weights[head] = (len(known_nC) - known_nC.sum(0)) / known_nC.sum(0)
    return {head: found.clamp(1 / limit, limit) for head, found in weights.items()}
