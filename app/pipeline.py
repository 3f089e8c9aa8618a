"""The pipe that every item goes through, in worker threads, off the event loop.

    inputs ──decode, prepare──► Example ──batch, encode, fuse──► Prediction ──search──► Answer

Knows models and queues; knows nothing of HTTP, nor of which models are served."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from app.batching import Batcher
from app.cores import usable_cores
from app.payload import Inputs, Search
from app.served import Answer, Model
from app.settings import Settings
from models.batch import Example
from models.image_guards import ImageLimits
from models.predictor import ForwardTimes, Prediction
from retrieval.gallery import Match

Record = Callable[[str, float], None]
"""Takes a stage's name and its seconds; see `telemetry.Timings.record`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    model: Model
    example: Example
    search: Search | None


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    answer: Answer
    times: ForwardTimes
    search_seconds: float


class Pipeline:
    """One queue and one set of workers for all models, so that they do not contend for cores."""

    def __init__(self, settings: Settings) -> None:
        """Prepare, without starting a thread."""
        self._settings = settings
        self._engine_failed = False
        self._limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
        self._decoder: Batcher[tuple[Model, Inputs], tuple[Example, float]] = Batcher(
            self._decode,
            name="decode",
            # Decoding takes a thirtieth of the network's time: half the cores can feed all of them.
            num_workers=max(1, usable_cores() // 2),
            max_batch_items=1,
            max_queue_items=settings.max_queue_items,
        )
        self._forward: Batcher[_Work, _Done] = Batcher(
            self._forward_batch,
            name="forward",
            num_workers=settings.workers,
            max_batch_items=settings.max_batch_items,
            max_queue_items=settings.max_queue_items,
        )

    @property
    def queues(self) -> Mapping[str, Batcher[Any, Any]]:
        """The queues by name, for whoever counts."""
        return {"decode": self._decoder, "forward": self._forward}

    def start(self) -> None:
        """Start the workers, within the event loop that will submit."""
        self._decoder.start()
        self._forward.start()

    async def close(self) -> None:
        """Let running batches end, and fail what waits."""
        await self._decoder.close()
        await self._forward.close()

    @property
    def engine_failed(self) -> bool:
        """Whether the last forward pass failed."""
        return self._engine_failed

    @property
    def hangs(self) -> bool:
        """Whether a forward pass takes longer than a request may."""
        return self._forward.longest_run_seconds() > self._settings.request_timeout_seconds

    async def run(self, model: Model, inputs: Inputs, search: Search | None, record: Record) -> Answer:
        """Take one item from its inputs to its answer.

        Raises:
            InputError: inputs that cannot be decoded.
            QueueFullError: too many items wait.
            TimeoutError: past the deadline.
        """
        async with asyncio.timeout(self._settings.request_timeout_seconds):
            (example, decode_seconds), decode_wait = await self._decoder.submit((model, inputs))
            done, forward_wait = await self._forward.submit(_Work(model, example, search))
        record("decode", decode_seconds)
        record("queue", decode_wait + forward_wait)
        record("encode", done.times.encode)
        record("fuse", done.times.fuse)
        record("search", done.search_seconds)
        return done.answer

    async def warm_up(self, model: Model) -> None:
        """Run one real inference of the model.

        Raises:
            Exception: whatever the engine raises.
        """
        (example, _), _ = await self._decoder.submit((model, model.some_inputs()))
        await self._forward.submit(_Work(model, example, Search()))

    def _decode(self, waiting: list[tuple[Model, Inputs]]) -> list[tuple[Example, float]]:
        [(model, inputs)] = waiting
        start = perf_counter()
        example = model.predictor.prepare(model.decode(inputs, self._limits))
        return [(example, perf_counter() - start)]

    def _forward_batch(self, works: list[_Work]) -> list[_Done | Exception]:
        """Run a batch, which may be of several models: one pass for each."""
        results: dict[_Work, _Done | Exception] = {}
        for model in dict.fromkeys(work.model for work in works):
            own = [work for work in works if work.model is model]
            try:
                predictions, times = model.predictor.predict_timed([work.example for work in own])
            except Exception:
                self._engine_failed = True
                raise
            self._engine_failed = False
            for work, prediction in zip(own, predictions, strict=True):
                results[work] = _search_for(work, prediction, times)
        return [results[work] for work in works]


def _search_for(work: _Work, prediction: Prediction, times: ForwardTimes) -> _Done | Exception:
    """Search for a prediction's neighbours; a fault is this item's own."""
    start = perf_counter()
    search, gallery = work.search, work.model.gallery
    matches: Sequence[Match] = []
    if search is not None and gallery is not None:
        try:
            matches = gallery.search(
                prediction.embedding_E, target=search.target, top_k=search.top_k, where=search.where
            )
        except Exception as error:  # its neighbours in the batch did not cause it
            return error
    return _Done(Answer(work.model, prediction, matches), times, perf_counter() - start)
