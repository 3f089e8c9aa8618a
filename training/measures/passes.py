"""Run a predictor over records, once per subset of the modalities.

The very road that serves: `decode`, `prepare`, the engine's graphs.

# n records, B batch, M modalities, E embedding dimensions"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch
from models.calibration import subset_name
from models.caption import Writing
from models.engine import Encoded, Output
from models.errors import ManifestError
from models.manifest import Record
from models.predictor import Predictor
from models.sample import Sample
from training.encode import subsets
from training.measures.outputs import Captions, SubsetOutput
from training.measures.prepared import decode, prepare, prepare_all
from training.objective_config import Unsaid
from training.optimisation.loop import Progress

BATCH = 8
CAPTION_BATCH = 32
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
    gathered: dict[str, _Gathered] = {subset_name(names): _Gathered() for names in subsets(predictor.modalities)}
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
                own = _rows_of(names, batch, part, unsaid)
                if len(own):
                    gathered[subset_name(names)].add(predictor, names, encoded, batch, own, start)
    if faults:
        raise ManifestError(faults)
    outputs = {name: found.joined() for name, found in gathered.items() if found.rows}
    if "text" in outputs and any(len(record.texts) > 1 for record in records):
        outputs["text"] = replace(outputs["text"], captions=_captions(predictor, records, progress))
    if "audio" in outputs and predictor.transcriber is not None:
        heard = _transcripts(predictor, [records[row] for row in outputs["audio"].rows], progress)
        outputs["audio"] = replace(outputs["audio"], transcripts=heard)
    if predictor.captioner is not None and (looked_at := subset_name(predictor.captioner.reads)) in outputs:
        seen = [records[row] for row in outputs[looked_at].rows]
        outputs[looked_at] = replace(outputs[looked_at], written=_written(predictor, seen, progress))
    return outputs


@dataclass(slots=True, eq=False)
class _Gathered:
    """What a subset gave so far, batch by batch."""

    rows: list[NDArray[np.intp]] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    vectors: list[Floats] = field(default_factory=list)

    def add(
        self,
        predictor: Predictor,
        names: Sequence[str],
        encoded: Encoded,
        batch: Batch,
        own: NDArray[np.intp],
        start: int,
    ) -> None:
        """Fuse these rows of a batch that begins with record `start`."""
        output = predictor.engine.fuse(encoded.take(own), batch.present_BM[own] & _wanted(names, batch))
        self.rows.append(start + own)
        self.outputs.append(output)
        if len(names) == 1:
            self.vectors.append(encoded.vectors_BMD[own, batch.modalities.index(names[0])])

    def joined(self) -> SubsetOutput:
        """All batches as one."""

        def by_head(kind: str) -> dict[str, Floats]:
            parts = [getattr(output, kind) for output in self.outputs]
            return {head: np.concatenate([part[head] for part in parts]) for head in parts[0]}

        return SubsetOutput(
            np.concatenate(self.rows),
            by_head("logits"),
            np.concatenate([output.embedding_BE for output in self.outputs]),
            values=by_head("values"),
            log_variances=by_head("log_variances"),
            vectors_nD=np.concatenate(self.vectors) if self.vectors else None,
        )


def _wanted(names: Sequence[str], batch: Batch) -> NDArray[np.bool_]:
    """(M,): the modalities of a subset."""
    return np.array([name in names for name in batch.modalities])


def _rows_of(
    names: Sequence[str], batch: Batch, part: Sequence[Record], unsaid: Unsaid | None
) -> NDArray[np.intp]:
    """The rows of a batch that a subset says something about."""
    own = np.flatnonzero(batch.present_BM[:, _wanted(names, batch)].all(1))
    found = [row for row in own.tolist() if unsaid is None or not unsaid.rules_out(names, part[row])]
    return np.array(found, dtype=np.intp)


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
