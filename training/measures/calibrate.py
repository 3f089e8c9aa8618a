"""Fit what turns a network's outputs into probabilities and deviations that mean what they say.

Outputs on validation records come in, a `Calibration` comes out.

# n rows with a cell, C classes"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.calibration import Calibration, Conformity
from models.checkpoint import CheckpointConfig
from models.manifest import Record
from training.data.pairs import UNLABELLED
from training.data.truth import label_matrix
from training.measures.evaluate import head_labels, labelled_scores, labelled_values
from training.measures.outputs import SubsetOutput

Floats = NDArray[np.float32]


def fit_calibration(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig
) -> Calibration:
    """Fit each head and subset on these (validation) records.

    The temperature is the one that makes the labels likeliest, and so is the factor of predicted deviations; the
    probabilities that a temperature gives the labels are what prediction sets need.
    """
    grid = np.geomspace(0.2, 5.0, 161)
    temperatures: dict[str, dict[str, float]] = {}
    spreads: dict[str, dict[str, float]] = {}
    for subset, output in outputs.items():
        for head, logits_nC in output.logits.items():
            loss = _likelihood_of(logits_nC, output, head, records, config)
            if loss is not None:
                temperatures.setdefault(head, {})[subset] = round(float(min(grid, key=loss)), 4)
        for head in output.log_variances:
            values_n, stds_n, truth_n = labelled_values(output, subset, head, records, config)
            if len(truth_n) and (values_n != truth_n).any():
                factor = float(np.sqrt((((truth_n - values_n) / stds_n) ** 2).mean()))
                fitted = config.calibration.spreads.get(head, {}).get(subset, 1.0) * factor
                spreads.setdefault(head, {})[subset] = float(f"{fitted:.4g}")
    found = Calibration(temperatures=temperatures, spreads=spreads)
    scaled = config.model_copy(update={"calibration": found})
    return found.model_copy(update={"conformity": fit_conformity(outputs, records, scaled)})


def _likelihood_of(
    logits_nC: Floats, output: SubsetOutput, head: str, records: Sequence[Record], config: CheckpointConfig
) -> Callable[[float], float] | None:
    """The mean negative log-likelihood of a head's labels, by temperature; None where no row has one."""
    if config.network.classes[head].multi_label:
        truth_nC = label_matrix([records[row] for row in output.rows], head, config.network.classes[head].labels)
        known_n = ~np.isnan(truth_nC[:, 0])
        truth = truth_nC[known_n]
        return (lambda t: _binary_loss(logits_nC[known_n] / t, truth)) if known_n.any() else None
    labels_n = head_labels(records, output.rows, head, config)
    known_n = labels_n != UNLABELLED
    labels = labels_n[known_n]
    return (lambda t: _negative_log_likelihood(logits_nC[known_n] / t, labels)) if known_n.any() else None


def fit_conformity(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig
) -> dict[str, dict[str, Conformity]]:
    """By head of a single label and subset, how probable the model finds the labels of these records.

    A label that the model does not know has probability 0: only the set of all labels is honest about it.
    """
    conformity: dict[str, dict[str, Conformity]] = {}
    for subset, output in outputs.items():
        for head in output.logits:
            scores_nC, labels_n = labelled_scores(output, subset, head, records, config)
            if len(labels_n):
                probabilities_n = np.where(
                    labels_n == UNLABELLED, 0.0, scores_nC[np.arange(len(labels_n)), labels_n]
                )
                conformity.setdefault(head, {})[subset] = Conformity.fit(probabilities_n)
    return conformity


def _negative_log_likelihood(logits_nC: NDArray[np.floating], labels_n: NDArray[np.int64]) -> float:
    shifted = logits_nC.astype(np.float64) - logits_nC.max(1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(1))
    return float((log_total - shifted[np.arange(len(labels_n)), labels_n]).mean())


def _binary_loss(logits_nC: NDArray[np.floating], truth_nC: Floats) -> float:
    # log(1 + e^z) - z y, which overflows for no z.
    return float((np.logaddexp(0, logits_nC.astype(np.float64)) - logits_nC * truth_nC).mean())
