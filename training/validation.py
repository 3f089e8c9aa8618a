"""How each head does on validation rows, one figure each, the higher the better: what an epoch's line shows.

Knows what heads say and what they should; calibrates nothing.

# B rows, M modalities, C classes"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from models.calibration import subset_name
from models.config import NetworkConfig
from models.nets.heads import HeadOutputs
from models.nets.network import EncodedBatch, Network
from training.batches import BatchSource
from training.data import UNLABELLED, Rows
from training.encode import chunks, subset_mask, subsets
from training.metrics import label_set_figures, regression_figures
from training.truth import Truth


def joined(parts: Sequence[HeadOutputs]) -> HeadOutputs:
    """Several batches, one after the other; at least one."""
    return HeadOutputs(
        *({head: torch.cat([part[kind][head] for part in parts]) for head in parts[0][kind]} for kind in range(3))
    )


def validation_figures(config: NetworkConfig, found: HeadOutputs, truth: Truth) -> dict[str, float]:
    """Accuracy, mean average precision (label sets) or R² (numbers) of each head that has a row with a cell."""
    figures: dict[str, float] = {}
    for column, head in enumerate(config.single_label_heads):
        known_B = truth.labels_NH[:, column] != UNLABELLED
        if known_B.any():
            hits = found.logits[head][known_B].argmax(1) == truth.labels_NH[known_B, column]
            figures[head] = float(hits.float().mean())
    for head, truth_BC in truth.label_sets.items():
        known_B = ~truth_BC[:, 0].isnan()
        if known_B.any():
            scores_nC, truth_nC = found.logits[head][known_B].sigmoid(), truth_BC[known_B]
            measured = label_set_figures(scores_nC.cpu().numpy(), truth_nC.cpu().numpy() == 1)
            figures |= {head: measured["map"]} if "map" in measured else {}
    for column, head in enumerate(config.targets):
        truth_B = truth.targets_NT[:, column]
        known_B = ~truth_B.isnan()
        if known_B.any():
            measured = regression_figures(
                found.values[head][known_B].cpu().numpy(), truth_B[known_B].cpu().numpy()
            )
            figures |= {head: measured["r2"]} if "r2" in measured else {}
    return figures


def subset_figures(
    network: Network, source: BatchSource, rows: Rows, encoded_of: Callable[[Rows], EncodedBatch]
) -> dict[str, float]:
    """Figures by subset and head, some rows at a time."""
    found: dict[str, list[HeadOutputs]] = {}
    kept: dict[str, list[Rows]] = {}
    for chunk in chunks(rows):
        encoded = encoded_of(chunk)
        for part in subsets(source.modalities):
            keep_B, mask_BM = subset_mask(source.present_NM[chunk], source.modalities, part)
            if keep_B.any():
                output = network.fuse(encoded.take(keep_B), mask_BM[keep_B])
                found.setdefault(subset_name(part), []).append(output.heads)
                kept.setdefault(subset_name(part), []).append(chunk[keep_B.cpu().numpy()])
    figures: dict[str, float] = {}
    for subset, parts in found.items():
        truth = source.truth.take(np.concatenate(kept[subset]))
        values = validation_figures(network.config, joined(parts), truth)
        figures |= {f"{subset}/{head}": value for head, value in values.items()}
    return figures
