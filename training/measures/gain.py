"""What fusion gains over the best modality alone, on the same rows, with an interval.

Knows outputs and records; draws nothing and writes nothing.

# N rows that have every modality"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import subset_name
from models.checkpoint import CheckpointConfig
from models.manifest import Record
from training.measured import EVERYTHING, Measured
from training.measures.evaluate import head_labels
from training.measures.matching import equal_texts
from training.measures.metrics import neighbour_share, paired_bootstrap
from training.measures.outputs import SubsetOutput

MAX_QUERIES = 2_000  # neighbours are looked for among so many rows at most: the work grows with their square
Shares = NDArray[np.floating]


def fusion_gain(
    outputs: Mapping[str, SubsetOutput],
    records: Sequence[Record],
    config: CheckpointConfig,
    *,
    measured: Measured = EVERYTHING,
) -> dict[str, dict[str, Any]]:
    """Fused minus best single modality, for each head.

    accuracy: share of rows whose best class is the label. neighbours: mean share of a row's five nearest other
    rows that have its label, by the fused vectors and by a modality's own; rows of an equal text do not count.

    The best modality is the best on these very rows, which is to fusion's disadvantage. Empty where no row has
    all modalities, or the model knows only one. Left out are a head of which some modality is judged on one label
    alone, and neighbours where `measured` says that they mean nothing.
    """
    modalities = config.network.modalities
    fused = outputs.get(subset_name(modalities))
    if fused is None or len(modalities) < 2:
        return {"accuracy": {}, "neighbours": {}}
    # Where a subset is judged on some rows alone, all are compared on those.
    common = [output.rows for name in modalities if (output := outputs.get(name)) is not None]
    rows = reduce(np.intersect1d, common, fused.rows)
    if len(common) < len(modalities) or not len(rows):
        return {"accuracy": {}, "neighbours": {}}
    fused = fused.at(rows)
    same_rows = {name: outputs[name].at(rows) for name in modalities}
    accuracy, neighbours = {}, {}
    for head in fused.logits:
        if any(measured.is_given(head, (name,)) for name in modalities):
            continue
        everything = {"": fused, **same_rows}
        hits = {name: _hits(output, head, records, config) for name, output in everything.items()}
        if len(hits[""]):
            accuracy[head] = _compare(hits)
        if not measured.neighbours:
            continue
        shares = _neighbour_shares(everything, head, records, config)
        if len(shares[""]):
            neighbours[head] = _compare(shares)
    return {"accuracy": accuracy, "neighbours": neighbours}


def _hits(output: SubsetOutput, head: str, records: Sequence[Record], config: CheckpointConfig) -> Shares:
    filled_n = np.array([head in records[row].labels for row in output.rows], dtype=bool)
    labels_n = head_labels(records, output.rows, head, config)
    hits_n: Shares = (output.logits[head].argmax(1) == labels_n)[filled_n].astype(np.float64)
    return hits_n


def _neighbour_shares(
    outputs: Mapping[str, SubsetOutput], head: str, records: Sequence[Record], config: CheckpointConfig
) -> dict[str, Shares]:
    rows = outputs[""].rows
    rows = rows[head_labels(records, rows, head, config) >= 0]
    if len(rows) > MAX_QUERIES:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAX_QUERIES, replace=False))
    labels_n, twins = head_labels(records, rows, head, config), equal_texts(records, rows)
    return {
        name: neighbour_share(output.at(rows).embedding_nE, labels_n, twins) for name, output in outputs.items()
    }


def _compare(values: Mapping[str, Shares]) -> dict[str, Any]:
    """Figures of the fused values (under "") against those of the modality with the highest mean."""
    best = max((name for name in values if name), key=lambda name: float(values[name].mean()))
    low, high = paired_bootstrap(values[""] - values[best])
    fused, alone = float(values[""].mean()), float(values[best].mean())
    return {
        "best": best,
        "rows": len(values[best]),
        "fused": fused,
        "alone": alone,
        "difference": fused - alone,
        "low": low,
        "high": high,
    }
