"""Run a predictor over records, once per modality subset, and measure what comes out.

The very road that serves: `decode`, `prepare`, the engine's graphs, calibration.

# N records, B batch, M modalities, C classes, E embedding dimensions"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.batch import Example
from models.calibration import Calibration, Conformity, subset_name
from models.checkpoint import CheckpointConfig
from models.decode import decode_image
from models.engine import Output
from models.errors import InputError, ManifestError
from models.manifest import Record
from models.predictor import Predictor
from models.sample import Sample
from training.data import UNLABELLED
from training.encode import subsets
from training.loop import Progress
from training.matching import matching
from training.metrics import accuracy, calibration_error, calibration_floor, coverage
from training.outputs import Captions, SubsetOutput

BATCH = 8
CAPTION_BATCH = 32
COVERAGE = 0.9  # of the prediction sets that are measured
Floats = NDArray[np.float32]


def run_subsets(predictor: Predictor, records: Sequence[Record], progress: Progress) -> dict[str, SubsetOutput]:
    """Encode every record once, and fuse it once for each subset of the modalities.

    Raises:
        ManifestError: naming the row whose image cannot be decoded.
    """
    progress.start("evaluate", len(records))
    rows: dict[str, list[NDArray[np.intp]]] = {}
    found: dict[str, list[Output]] = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(records), BATCH):
            part = records[start : start + BATCH]
            batch = predictor.preprocessors.collate(
                list(pool.map(lambda record: prepare(predictor, record), part))
            )
            encoded = predictor.engine.encode(batch)
            for names in subsets(predictor.modalities):
                wanted_M = np.array([name in names for name in predictor.modalities])
                own = np.flatnonzero(batch.present_BM[:, wanted_M].all(1))
                if len(own):
                    output = predictor.engine.fuse(encoded.take(own), batch.present_BM[own] & wanted_M)
                    rows.setdefault(subset_name(names), []).append(start + own)
                    found.setdefault(subset_name(names), []).append(output)
            progress.advance(len(part))
    order = [subset_name(names) for names in subsets(predictor.modalities)]
    outputs = {name: _joined(rows[name], found[name]) for name in order if name in found}
    if "text" in outputs and any(len(record.texts) > 1 for record in records):
        outputs["text"] = replace(outputs["text"], captions=_captions(predictor, records, progress))
    return outputs


def _captions(predictor: Predictor, records: Sequence[Record], progress: Progress) -> Captions:
    """Embed every text of every record by itself."""
    texts = [(row, text) for row, record in enumerate(records) for text in record.texts]
    progress.start("captions", len(texts))
    parts = []
    for start in range(0, len(texts), CAPTION_BATCH):
        part = texts[start : start + CAPTION_BATCH]
        parts.append(predictor.predict([predictor.prepare(Sample(text=text)) for _, text in part]))
        progress.advance(len(part))
    embeddings = [prediction.embedding_E for predictions in parts for prediction in predictions]
    return Captions(np.array([row for row, _ in texts]), np.array(embeddings, dtype=np.float32))


def _joined(rows: Sequence[NDArray[np.intp]], outputs: Sequence[Output]) -> SubsetOutput:
    return SubsetOutput(
        np.concatenate(rows),
        {head: np.concatenate([output.logits[head] for output in outputs]) for head in outputs[0].logits},
        np.concatenate([output.embedding_BE for output in outputs]),
    )


def prepare(predictor: Predictor, record: Record) -> Example:
    """A record as the service would take it: its image file's bytes and its first text."""
    side = predictor.config.preprocessing.image.side_px if predictor.config.preprocessing.image else 0
    try:
        image = None
        if record.image is not None and side:
            image = decode_image(record.image.read_bytes(), side_px=side)
        return predictor.prepare(Sample(image=image, text=record.texts[0] if record.texts else None))
    except InputError as error:
        raise ManifestError([f"row {record.row}: {error}"]) from error


def fit_calibration(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig
) -> Calibration:
    """Fit each head and subset on these (validation) records.

    The temperature is the one that makes the labels likeliest; the probabilities that it gives them are what
    prediction sets need.
    """
    grid = np.geomspace(0.2, 5.0, 161)
    temperatures: dict[str, dict[str, float]] = {}
    for subset, output in outputs.items():
        for head, logits_nC in output.logits.items():
            labels_n = head_labels(records, output.rows, head, config)
            known_n = labels_n != UNLABELLED
            if known_n.any():
                losses = [_negative_log_likelihood(logits_nC[known_n] / t, labels_n[known_n]) for t in grid]
                temperatures.setdefault(head, {})[subset] = round(float(grid[int(np.argmin(losses))]), 4)
    scaled = config.model_copy(update={"calibration": Calibration(temperatures=temperatures)})
    return Calibration(temperatures=temperatures, conformity=fit_conformity(outputs, records, scaled))


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
            if len(labels_n) and not config.network.classes[head].multi_label:
                probabilities_n = np.where(
                    labels_n == UNLABELLED, 0.0, scores_nC[np.arange(len(labels_n)), labels_n]
                )
                conformity.setdefault(head, {})[subset] = Conformity.fit(probabilities_n)
    return conformity


def measure(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig
) -> dict[str, dict[str, Any]]:
    """Figures by subset: for each head accuracy, calibration, coverage; under the pair, retrieval both ways."""
    figures: dict[str, dict[str, Any]] = {}
    for subset, output in outputs.items():
        figures[subset] = {}
        for head in output.logits:
            scores_nC, labels_n = labelled_scores(output, subset, head, records, config)
            if len(labels_n):
                confidence_n, hits_n = scores_nC.max(1), scores_nC.argmax(1) == labels_n
                figures[subset][head] = {
                    **accuracy(scores_nC, labels_n),
                    "ece": calibration_error(confidence_n, hits_n),
                    "ece_floor": calibration_floor(confidence_n),
                }
                if subset in config.calibration.conformity.get(head, {}):  # an older checkpoint has none
                    chosen = [
                        config.calibration.prediction_set(head, subset, scores_C, COVERAGE)
                        for scores_C in scores_nC
                    ]
                    figures[subset][head]["coverage_90"] = coverage(chosen, labels_n)
    if {"image", "text"} <= outputs.keys() and "image+text" in figures:
        figures["image+text"]["retrieval"] = matching(outputs, records)
    return figures


def labelled_scores(
    output: SubsetOutput, subset: str, head: str, records: Sequence[Record], config: CheckpointConfig
) -> tuple[Floats, NDArray[np.int64]]:
    """Calibrated scores (n, C) and labels (n,) of the rows with a cell; a label unknown to the model is -1."""
    filled = np.array([head in records[row].labels for row in output.rows], dtype=bool)
    labels_n = head_labels(records, output.rows, head, config)[filled]
    multi_label = config.network.classes[head].multi_label
    scores = [
        config.calibration.probabilities(head, subset, logits, multi_label=multi_label)
        for logits in output.logits[head][filled]
    ]
    return np.array(scores, dtype=np.float32).reshape(len(labels_n), output.logits[head].shape[1]), labels_n


def head_labels(
    records: Sequence[Record], rows: NDArray[np.intp], head: str, config: CheckpointConfig
) -> NDArray[np.int64]:
    """Class numbers (n,) of the rows' cells; -1 for an empty cell or a label that the model does not know."""
    number = {label: i for i, label in enumerate(config.network.classes[head].labels)}
    return np.array([number.get(records[row].labels.get(head, ""), UNLABELLED) for row in rows], dtype=np.int64)


def _negative_log_likelihood(logits_nC: NDArray[np.floating], labels_n: NDArray[np.int64]) -> float:
    shifted = logits_nC.astype(np.float64) - logits_nC.max(1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(1))
    return float((log_total - shifted[np.arange(len(labels_n)), labels_n]).mean())
