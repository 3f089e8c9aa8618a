"""One pass of a network over several items, for each thing that can be wanted of it. Knows no queue."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

from app.served import Model
from app.stages import Found, Ready
from models.engine import Encoded, EncodedArrays
from models.errors import ConfigError, InputError
from models.explainer import Explainer
from models.occlusion import Detail
from models.predictor import Predictor
from models.transcriber import Utterances
from models.transcript import Decoding


def forward(works: list[Ready], note: Callable[[Model, bool], object]) -> list[Found]:
    """Run a batch, which may be of several models and kinds: one pass for each.

    Args:
        works: the items.
        note: takes each model whose pass went well, or not.
    """
    results: dict[int, Found] = {}
    for kind in dict.fromkeys(_kind_of(work) for work in works):
        rows = [row for row, work in enumerate(works) if _kind_of(work) == kind]
        model, want = kind[:2]
        try:
            found = _FORWARDS[want](model.predictor, [works[row] for row in rows])
        except InputError:  # the request's fault, and not the engine's
            raise
        except Exception:
            note(model, False)
            raise
        note(model, True)
        results |= dict(zip(rows, found, strict=True))
    return [results[row] for row in range(len(works))]


def _kind_of(work: Ready) -> tuple[Model, str, Decoding, Detail]:
    """What items of one pass have in common."""
    return work.raw.model, work.raw.want, work.raw.decoding, work.raw.detail


def _predictions(predictor: Predictor, works: list[Ready]) -> list[Found]:
    predictions, times, encoded = predictor.predict_encoded([work.examples[0] for work in works])
    seconds = {"encode": times.encode, "fuse": times.fuse}
    return [
        Found(work, seconds, one, encoded=_row(encoded, row) if work.raw.for_text else None)
        for row, (work, one) in enumerate(zip(works, predictions, strict=True))
    ]


def _row(encoded: Encoded, row: int) -> EncodedArrays:
    """What a text looks at. From a card too: whoever writes is another thread, with a stream of its own there."""
    one = encoded.take(np.array([row], dtype=np.intp))
    return EncodedArrays(one.vectors_BMD, details=dict(one.details))


def _vectors(predictor: Predictor, works: list[Ready]) -> list[Found]:
    start = perf_counter()
    targets = predictor.embed_targets([work.examples[0] for work in works])
    seconds = {"encode": perf_counter() - start}
    # A row of NaN says that an item lacks a modality.
    each = [
        {target: rows_BE[row] for target, rows_BE in targets.items() if np.isfinite(rows_BE[row]).all()}
        for row in range(len(works))
    ]
    return [Found(work, seconds, vectors=vectors) for work, vectors in zip(works, each, strict=True)]


def _transcripts(predictor: Predictor, works: list[Ready]) -> list[Found]:
    start = perf_counter()
    if predictor.transcriber is None:
        raise ValueError("this model does not transcribe")
    try:
        recordings = [Utterances(work.examples, work.starts) for work in works]
        transcripts = predictor.transcriber.transcribe(recordings, works[0].raw.decoding)
    except ConfigError as error:  # what these fields need is not installed
        raise InputError("num_beams", str(error)) from error
    seconds = {"transcribe": perf_counter() - start}
    return [Found(work, seconds, transcript=one) for work, one in zip(works, transcripts, strict=True)]


def _originals(predictor: Predictor, works: list[Ready]) -> list[Found]:
    start = perf_counter()
    subjects = [work.subject for work in works if work.subject is not None]
    explainer = Explainer(predictor, works[0].raw.detail)
    originals = explainer.originals(subjects, [work.raw.for_text for work in works])
    seconds = {"encode": perf_counter() - start}
    return [
        Found(
            work,
            seconds,
            original.prediction,
            original=original,
            encoded=EncodedArrays(original.encoded.vectors_BMD, details=original.details),
        )
        for work, original in zip(works, originals, strict=True)
    ]


def _falls(predictor: Predictor, works: list[Ready]) -> list[Found]:
    varied = [work.varied for work in works if work.varied is not None]
    falls = Explainer(predictor, works[0].raw.detail).fall(varied)
    return [Found(work, {}, fall=fall) for work, fall in zip(works, falls, strict=True)]


# Each takes a predictor and items that want the same of it, and gives what was found, in order.
_FORWARDS: dict[str, Callable[[Predictor, list[Ready]], list[Found]]] = {
    "prediction": _predictions,
    "vectors": _vectors,
    "transcript": _transcripts,
    "original": _originals,
    "fall": _falls,
}
