"""How each head does on validation rows, one figure each, the higher the better: what an epoch's line shows.

Knows what heads say and what they should; calibrates nothing.

# B rows, M modalities, C classes"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from models.calibration import subset_name
from models.config import NetworkConfig
from models.nets.heads import HeadOutputs
from models.nets.network import EncodedBatch, Network
from training.data.batches import BatchSource
from training.data.pairs import UNLABELLED, Rows
from training.data.truth import Truth
from training.encode import chunks, subsets
from training.measures.metrics import label_set_figures, regression_figures

MAX_MATCHED_ROWS = 2_000  # the work grows with their square


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
    network: Network,
    source: BatchSource,
    rows: Rows,
    encoded_of: Callable[[Rows], EncodedBatch],
    *,
    matching: bool,
) -> dict[str, float]:
    """Figures by subset and head, some rows at a time; with `matching`, also how well texts and images match."""
    found: dict[str, list[HeadOutputs]] = {}
    kept: dict[str, list[Rows]] = {}
    embeddings: dict[str, dict[int, Tensor]] = {}
    for chunk in chunks(rows):
        encoded = encoded_of(chunk)
        for part in subsets(source.modalities):
            keep_B, mask_BM = source.shown(chunk, part)
            if keep_B.any():
                output = network.fuse(encoded.take(keep_B), mask_BM[keep_B])
                found.setdefault(subset_name(part), []).append(output.heads)
                own = chunk[keep_B.cpu().numpy()]
                kept.setdefault(subset_name(part), []).append(own)
                if len(part) == 1:
                    embeddings.setdefault(subset_name(part), {}).update(
                        zip(map(int, own), output.embedding_BE, strict=True)
                    )
    figures: dict[str, float] = {}
    for subset, parts in found.items():
        truth = source.truth.take(np.concatenate(kept[subset]))
        values = validation_figures(network.config, joined(parts), truth)
        figures |= {f"{subset}/{head}": value for head, value in values.items()}
    return {**figures, **(_matching_figures(embeddings) if matching else {})}


def _matching_figures(embeddings: Mapping[str, Mapping[int, Tensor]]) -> dict[str, float]:
    """Share of rows whose own text, or image, is the nearest of all; equal ones count against it."""
    images, texts = (embeddings.get(name, {}) for name in ("image", "text"))
    rows = [row for row in images if row in texts][:MAX_MATCHED_ROWS]
    if len(rows) < 2:
        return {}
    scores_nn = torch.stack([texts[row] for row in rows]) @ torch.stack([images[row] for row in rows]).T
    own_n = scores_nn.diagonal()
    rivals = scores_nn.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=scores_nn.device), -2.0)
    return {
        "matching/text_to_image": float((own_n > rivals.amax(1)).float().mean()),
        "matching/image_to_text": float((own_n > rivals.amax(0)).float().mean()),
    }
