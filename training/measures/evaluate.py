"""Measure what a predictor gave for records, by the subset of the modalities that it was shown.

# n records, C classes"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.checkpoint import CheckpointConfig
from models.manifest import Record
from training.data.pairs import UNLABELLED
from training.data.truth import label_matrix, target_values
from training.measured import EVERYTHING, Measured
from training.measures.matching import matching
from training.measures.metrics import (
    accuracy,
    calibration_error,
    calibration_floor,
    coverage,
    interval_coverage,
    label_set_figures,
    regression_figures,
)
from training.measures.outputs import SubsetOutput
from training.measures.same_label import same_label
from training.measures.words import transcript_figures
from training.measures.writing import writing_figures

COVERAGE = 0.9  # of the prediction sets that are measured
Floats = NDArray[np.float32]


def measure(
    outputs: Mapping[str, SubsetOutput],
    records: Sequence[Record],
    config: CheckpointConfig,
    *,
    measured: Measured = EVERYTHING,
    with_index: bool = False,
) -> dict[str, dict[str, Any]]:
    """Figures by subset and head; under the pair, retrieval both ways. A head without a labelled row is left out.

    Of one label: accuracy, calibration, coverage, and how near rows of an equal label lie to one another by the
    subset's vectors. Of several: mean average precision, F1. Of numbers: errors, R². What says nothing about the
    model, by `measured`, is left out. with_index: see `matching`.
    """
    figures: dict[str, dict[str, Any]] = {}
    for subset, output in outputs.items():
        figures[subset] = {}
        for head in output.logits:
            if measured.is_given(head, subset.split("+")):
                continue
            several = config.network.classes[head].multi_label
            found = (_set_figures if several else _class_figures)(output, subset, head, records, config)
            figures[subset] |= {head: found} if found else {}
        for head in output.values:
            found = _value_figures(output, subset, head, records, config)
            figures[subset] |= {head: found} if found else {}
        near = _same_label(output, records, config) if measured.neighbours else {}
        for head, found in near.items():
            if head in figures[subset]:
                figures[subset][head]["same_label"] = found
        if output.transcripts is not None:
            found = _spoken_figures(output.transcripts, [records[row].transcript for row in output.rows])
            figures[subset] |= {"transcript": found} if found else {}
        if output.written is not None and config.network.caption is not None:
            captions = [records[row].captions for row in output.rows]
            found = writing_figures(captions, output.written, num_beams=config.network.caption.num_beams)
            figures[subset] |= {"caption": found} if found else {}
    if measured.matching and {"image", "text"} <= outputs.keys() and "image+text" in figures:
        figures["image+text"]["retrieval"] = matching(outputs, records, with_index=with_index)
    return figures


def _class_figures(
    output: SubsetOutput, subset: str, head: str, records: Sequence[Record], config: CheckpointConfig
) -> dict[str, Any]:
    scores_nC, labels_n = labelled_scores(output, subset, head, records, config)
    if not len(labels_n):
        return {}
    confidence_n, hits_n = scores_nC.max(1), scores_nC.argmax(1) == labels_n
    figures: dict[str, Any] = {
        **accuracy(scores_nC, labels_n),
        "ece": calibration_error(confidence_n, hits_n),
        "ece_floor": calibration_floor(confidence_n),
    }
    if subset in config.calibration.conformity.get(head, {}):  # an older checkpoint has none
        chosen = [config.calibration.prediction_set(head, subset, scores_C, COVERAGE) for scores_C in scores_nC]
        figures["coverage_90"] = coverage(chosen, labels_n)
    return figures


def _spoken_figures(heard: Sequence[str], said: Sequence[str | None]) -> dict[str, Any]:
    known = [(text, found) for text, found in zip(said, heard, strict=True) if text is not None]
    return transcript_figures([text for text, _ in known], [found for _, found in known]) if known else {}


def _same_label(
    output: SubsetOutput, records: Sequence[Record], config: CheckpointConfig
) -> dict[str, dict[str, float]]:
    single = [head for head in output.logits if not config.network.classes[head].multi_label]
    labels = {head: [records[row].labels.get(head) for row in output.rows] for head in single}
    return same_label(output.embedding_nE, labels)


def _set_figures(
    output: SubsetOutput, subset: str, head: str, records: Sequence[Record], config: CheckpointConfig
) -> dict[str, Any]:
    labels = config.network.classes[head].labels
    rows = [place for place, row in enumerate(output.rows) if head in records[row].label_sets]
    known = [records[output.rows[place]] for place in rows]
    if not known:
        return {}
    scores = [
        config.calibration.probabilities(head, subset, output.logits[head][place], multi_label=True)
        for place in rows
    ]
    unknown = sum(label not in labels for record in known for label in record.label_sets[head])
    return label_set_figures(np.array(scores), label_matrix(known, head, labels) == 1, num_unknown=unknown)


def _value_figures(
    output: SubsetOutput, subset: str, head: str, records: Sequence[Record], config: CheckpointConfig
) -> dict[str, Any]:
    values_n, stds_n, truth_n = labelled_values(output, subset, head, records, config)
    if not len(truth_n):
        return {}
    figures: dict[str, Any] = regression_figures(values_n, truth_n)
    if head in output.log_variances:
        figures["coverage_90"] = interval_coverage(values_n, stds_n, truth_n)
    return figures


def labelled_values(
    output: SubsetOutput, subset: str, head: str, records: Sequence[Record], config: CheckpointConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Values (n,), their calibrated deviations and the truth of the rows with a number, in its unit.

    The deviations are 0 where the head predicts none.
    """
    part = config.network.targets[head]
    truth_n = target_values([records[row] for row in output.rows], head)
    known_n = ~np.isnan(truth_n)
    values_n = part.mean + part.std * output.values[head][known_n].astype(np.float64)
    stds_n = np.zeros_like(values_n)
    if head in output.log_variances:
        log_variances_n = output.log_variances[head][known_n]
        stds_n = part.std * np.array(
            [config.calibration.deviation(head, subset, float(s)) for s in log_variances_n]
        )
    return values_n, stds_n, truth_n[known_n]


def labelled_scores(
    output: SubsetOutput, subset: str, head: str, records: Sequence[Record], config: CheckpointConfig
) -> tuple[Floats, NDArray[np.int64]]:
    """Calibrated scores (n, C) and labels (n,) of the rows with a cell; a label unknown to the model is -1.

    Of a head of several labels no row has one label: n is 0.
    """
    filled = np.array([head in records[row].labels for row in output.rows], dtype=bool)
    labels_n = head_labels(records, output.rows, head, config)[filled]
    scores = [config.calibration.probabilities(head, subset, logits) for logits in output.logits[head][filled]]
    return np.array(scores, dtype=np.float32).reshape(len(labels_n), output.logits[head].shape[1]), labels_n


def head_labels(
    records: Sequence[Record], rows: NDArray[np.intp], head: str, config: CheckpointConfig
) -> NDArray[np.int64]:
    """Class numbers (n,) of the rows' cells; -1 for an empty cell or a label that the model does not know."""
    number = {label: i for i, label in enumerate(config.network.classes[head].labels)}
    return np.array([number.get(records[row].labels.get(head, ""), UNLABELLED) for row in rows], dtype=np.int64)
