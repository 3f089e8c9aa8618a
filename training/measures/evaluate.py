"""Run a predictor over records, once per modality subset, and measure what comes out.

The very road that serves: `decode`, `prepare`, the engine's graphs, calibration.

# N records, B batch, M modalities, C classes, E embedding dimensions"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import subset_name
from models.caption import Writing
from models.checkpoint import CheckpointConfig
from models.engine import Output
from models.errors import ManifestError
from models.manifest import Record
from models.predictor import Predictor
from models.sample import Sample
from training.data.pairs import UNLABELLED
from training.data.truth import label_matrix, target_values
from training.encode import subsets
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
from training.measures.outputs import Captions, SubsetOutput
from training.measures.prepared import decode, prepare, prepare_all
from training.measures.same_label import same_label
from training.measures.words import transcript_figures
from training.measures.writing import writing_figures
from training.objective_config import Unsaid
from training.optimisation.loop import Progress

BATCH = 8
CAPTION_BATCH = 32
COVERAGE = 0.9  # of the prediction sets that are measured
Floats = NDArray[np.float32]


def run_subsets(
    predictor: Predictor,
    records: Sequence[Record],
    progress: Progress,
    *,
    manifest: str = "manifest",
    unsaid: Unsaid | None = None,
) -> dict[str, SubsetOutput]:
    """Encode every record once, and fuse it once for each subset of the modalities that it says something about.

    Raises:
        ManifestError: naming every row that cannot be decoded, in the manifest of this name. After the first, the
            others are only decoded.
    """
    faults: list[str] = []
    progress.start("evaluate", len(records))
    rows: dict[str, list[NDArray[np.intp]]] = {}
    found: dict[str, list[Output]] = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(records), BATCH):
            part = records[start : start + BATCH]
            examples, broken = prepare_all(predictor, part, manifest, pool)
            progress.advance(len(part))
            faults += broken
            if faults:
                continue
            batch = predictor.preprocessors.collate(examples)
            encoded = predictor.engine.encode(batch)
            for names in subsets(predictor.modalities):
                wanted_M = np.array([name in names for name in predictor.modalities])
                own = np.flatnonzero(batch.present_BM[:, wanted_M].all(1))
                if unsaid is not None:
                    ruled_out = [unsaid.rules_out(names, part[int(row)]) for row in own]
                    own = own[~np.array(ruled_out, dtype=bool)]
                if len(own):
                    output = predictor.engine.fuse(encoded.take(own), batch.present_BM[own] & wanted_M)
                    rows.setdefault(subset_name(names), []).append(start + own)
                    found.setdefault(subset_name(names), []).append(output)
    if faults:
        raise ManifestError(faults)
    order = [subset_name(names) for names in subsets(predictor.modalities)]
    outputs = {name: _joined(rows[name], found[name]) for name in order if name in found}
    if "text" in outputs and any(len(record.texts) > 1 for record in records):
        outputs["text"] = replace(outputs["text"], captions=_captions(predictor, records, progress))
    if "audio" in outputs and predictor.transcriber is not None:
        heard = _transcripts(predictor, [records[row] for row in outputs["audio"].rows], progress)
        outputs["audio"] = replace(outputs["audio"], transcripts=heard)
    if predictor.captioner is not None and (looked_at := subset_name(predictor.captioner.reads)) in outputs:
        seen = [records[row] for row in outputs[looked_at].rows]
        outputs[looked_at] = replace(outputs[looked_at], written=_written(predictor, seen, progress))
    return outputs


def _written(predictor: Predictor, records: Sequence[Record], progress: Progress) -> list[str]:
    """What is written about each record, by as many beams as the head is measured with."""
    captioner = predictor.captioner
    assert captioner is not None  # noqa: S101 - the caller has looked
    writing = Writing(num_beams=captioner.head.num_beams)
    progress.start("written", len(records))
    written: list[str] = []
    for start in range(0, len(records), BATCH):
        part = [prepare(predictor, record) for record in records[start : start + BATCH]]
        written += [caption.text for caption in captioner.caption(part, [writing] * len(part))]
        progress.advance(len(part))
    return written


def _transcripts(predictor: Predictor, records: Sequence[Record], progress: Progress) -> list[str]:
    """What is heard in each recording, read greedily."""
    transcriber = predictor.transcriber
    assert transcriber is not None  # noqa: S101 - the caller has looked
    progress.start("transcripts", len(records))
    heard: list[str] = []
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        samples = [decode(predictor.config.preprocessing, record) for record in part]
        read = transcriber.transcribe([transcriber.prepare(sample) for sample in samples])
        heard += [transcript.text for transcript in read]
        progress.advance(len(part))
    return heard


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
    def by_head(kind: str) -> dict[str, Floats]:
        parts = [getattr(output, kind) for output in outputs]
        return {head: np.concatenate([part[head] for part in parts]) for head in parts[0]}

    return SubsetOutput(
        np.concatenate(rows),
        by_head("logits"),
        np.concatenate([output.embedding_BE for output in outputs]),
        values=by_head("values"),
        log_variances=by_head("log_variances"),
    )


def measure(
    outputs: Mapping[str, SubsetOutput],
    records: Sequence[Record],
    config: CheckpointConfig,
    *,
    with_index: bool = False,
) -> dict[str, dict[str, Any]]:
    """Figures by subset and head; under the pair, retrieval both ways. A head without a labelled row is left out.

    Of one label: accuracy, calibration, coverage, and how near rows of an equal label lie to one another by the
    subset's vectors. Of several: mean average precision, F1. Of numbers: errors, R². with_index: see `matching`.
    """
    figures: dict[str, dict[str, Any]] = {}
    for subset, output in outputs.items():
        figures[subset] = {}
        for head in output.logits:
            several = config.network.classes[head].multi_label
            found = (_set_figures if several else _class_figures)(output, subset, head, records, config)
            figures[subset] |= {head: found} if found else {}
        for head in output.values:
            found = _value_figures(output, subset, head, records, config)
            figures[subset] |= {head: found} if found else {}
        for head, found in _same_label(output, records, config).items():
            figures[subset][head]["same_label"] = found
        if output.transcripts is not None:
            found = _spoken_figures(output.transcripts, [records[row].transcript for row in output.rows])
            figures[subset] |= {"transcript": found} if found else {}
        if output.written is not None and config.network.caption is not None:
            captions = [records[row].captions for row in output.rows]
            found = writing_figures(captions, output.written, num_beams=config.network.caption.num_beams)
            figures[subset] |= {"caption": found} if found else {}
    if {"image", "text"} <= outputs.keys() and "image+text" in figures:
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
