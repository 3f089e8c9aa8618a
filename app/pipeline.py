"""The pipe that every item goes through, in worker threads, off the event loop.

    inputs ──decode, prepare──► Example ──batch, encode, fuse──► Prediction ──search──► Answer

Each arrow has workers of its own, so that one batch is searched for while the next is computed. Knows models and
queues; knows nothing of HTTP, nor of which models are served."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from app.batch_limits import Limits
from app.batching import Batcher
from app.call import Call
from app.door import Door
from app.payload import Inputs
from app.served import Answer, Model
from app.settings import Settings
from models.batch import Example
from models.cores import usable_cores
from models.image_guards import ImageLimits
from models.predictor import ForwardTimes, Prediction
from retrieval.gallery import Match, Query

_Search = Callable[[], Sequence[Match]]


@dataclass(frozen=True, slots=True, eq=False)
class _Raw:
    """What comes in, and what is to be searched for with the embedding that it gets."""

    model: Model
    inputs: Inputs
    query: Query | None


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """What the network takes."""

    model: Model
    example: Example
    query: Query | None
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What the network gave."""

    ready: _Ready
    prediction: Prediction
    times: ForwardTimes


@dataclass(frozen=True, slots=True, eq=False)
class _Matched:
    """What a search gave; `found` is what it came from, where that was an item of ours."""

    matches: Sequence[Match]
    seconds: float
    found: _Found | None


_WATCH_SECONDS = 0.25
_MAX_STUCK = 8  # threads that hang and cannot be ended; beyond, only a new process helps
_LOG = logging.getLogger(__name__)


class Pipeline:
    """One set of queues and workers for all models, so that they do not contend for cores."""

    def __init__(self, settings: Settings, num_workers: int) -> None:
        """Prepare, without starting a thread; `num_workers` run the network."""
        self._settings = settings
        self.num_workers = num_workers
        self._limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
        self.failed: set[tuple[str, int]] = set()
        """Name and version of the models whose last forward pass failed, or hung."""
        self.door = Door(settings.max_queue_items)
        self.room_for_batches = asyncio.Semaphore(max(1, settings.max_queue_items // 2))
        """Held by each item of a batch: however many batches there are, half the places are left for others."""
        # More than the door lets in: what nobody waits for any more is dropped when a queue is as long as this.
        max_queue_items = 2 * settings.max_queue_items + num_workers * settings.max_batch_items
        # Decoding and searching take a thirtieth of the network's time: half the cores can feed all of them.
        light: dict[str, Any] = {
            "num_workers": max(1, usable_cores() // 2),
            "max_queue_items": max_queue_items,
        }
        self._decoder = Batcher[_Raw, _Ready](self._decode, name="decode", limits=Limits(items=1), **light)
        # The items of a forward pass come at once, and are answered at once: one wake-up for all.
        together = Limits(items=settings.max_batch_items)
        self._searcher = Batcher[tuple[_Search, _Found | None], _Matched](
            _search_each, name="search", limits=together, **light
        )
        self._forward = Batcher[_Ready, _Found](
            self._forward_batch,
            name="forward",
            num_workers=num_workers,
            limits=Limits(
                items=settings.max_batch_items,
                cost=(settings.max_batch_pixels, settings.max_batch_tokens),
                linger_seconds=settings.max_batch_wait_ms / 1000,
            ),
            max_queue_items=max_queue_items,
            cost=_cost,
        )
        self._decoder.lead_to(self._forward, lambda ready: ready)
        self._forward.lead_to(self._searcher, _search_for)
        self.on_answer: Callable[[Answer], object] = lambda _: None
        """Takes each answer, within the event loop."""
        self._watch: asyncio.Task[None] | None = None

    @property
    def queues(self) -> Mapping[str, Batcher[Any, Any]]:
        """The queues by name, for whoever counts."""
        return {"decode": self._decoder, "forward": self._forward, "search": self._searcher}

    def start(self) -> None:
        """Start the workers, within the event loop that will submit."""
        for queue in self.queues.values():
            queue.start()
        self._watch = asyncio.create_task(self._replace_stuck())

    async def close(self) -> None:
        """Let running batches end, and fail what waits."""
        if self._watch is not None:
            self._watch.cancel()
        for queue in self.queues.values():
            await queue.close()

    @property
    def beyond_repair(self) -> bool:
        """Whether so many threads hang that only a new process helps."""
        return sum(queue.num_stuck() for queue in self.queues.values()) >= _MAX_STUCK

    def admit(self, call: Call) -> None:
        """Refuse an item that would find no place, or no time. See `Door.check`; not asked again once let in."""
        if not call.admitted:
            self.door.check(call, self._forward, self._decoder, self._searcher)

    async def run(self, model: Model, inputs: Inputs, search: Query | None, call: Call) -> Answer:
        """Take one item from its inputs to its answer.

        Raises:
            InputError: inputs that cannot be decoded.
            QueueFullError: see `admit`.
            StuckError: the work on it did not end.
            TimeoutError: past the deadline.
        """
        self.admit(call)
        answer = await self._through(model, inputs, search, call)
        self.on_answer(answer)
        return answer

    async def search(self, query: _Search, call: Call) -> Sequence[Match]:
        """Search by what needs no forward pass; `query` runs in a worker. Raises as `run` does."""
        self.admit(call)
        async with asyncio.timeout(call.timeout_seconds()):
            with self.door.entered(call):
                (matched, _) = await self._searcher.submit((query, None), flow=call.flow, deadline=call.deadline)
        call.record("search", matched.seconds)
        return matched.matches

    async def warm_up(self, model: Model) -> None:
        """Run one real inference of the model.

        Raises:
            Exception: whatever the engine raises.
        """
        await self._through(model, model.some_inputs(), Query(), Call(record=lambda *_: None))

    async def _through(self, model: Model, inputs: Inputs, query: Query | None, call: Call) -> Answer:
        async with asyncio.timeout(call.timeout_seconds()):
            with self.door.entered(call):
                raw = _Raw(model, inputs, None if model.gallery is None else query)
                ended, queued = await self._decoder.submit(raw, flow=call.flow, deadline=call.deadline)
        result: Any = ended  # of the last stage that it came to
        matches: Sequence[Match] = []
        if isinstance(result, _Matched):
            call.record("search", result.seconds)
            matches, result = result.matches, result.found
        found: _Found = result
        call.record("decode", found.ready.seconds)
        call.record("encode", found.times.encode)
        call.record("fuse", found.times.fuse)
        call.record("queue", queued)
        return Answer(model, found.prediction, matches)

    async def _replace_stuck(self) -> None:
        """Look after the workers for as long as the service runs."""
        limit_seconds = self._settings.stuck_seconds
        while True:
            await asyncio.sleep(min(_WATCH_SECONDS, limit_seconds / 4))
            try:
                self._decoder.replace_stuck(limit_seconds)
                self._searcher.replace_stuck(limit_seconds)
                for ready in self._forward.replace_stuck(limit_seconds):
                    self.failed.add(
                        (ready.model.name, ready.model.version)
                    )  # until an inference shows that it works
            except Exception:  # no thread may be had just now; the next look tries again
                _LOG.exception("looking after the workers failed")

    def _decode(self, waiting: list[_Raw]) -> list[_Ready]:
        [raw] = waiting
        start = perf_counter()
        example = raw.model.predictor.prepare(raw.model.decode(raw.inputs, self._limits))
        return [_Ready(raw.model, example, raw.query, perf_counter() - start)]

    def _forward_batch(self, works: list[_Ready]) -> list[_Found]:
        """Run a batch, which may be of several models: one pass for each."""
        results: dict[int, _Found] = {}
        for model in dict.fromkeys(work.model for work in works):
            rows = [row for row, work in enumerate(works) if work.model is model]
            try:
                predictions, times = model.predictor.predict_timed([works[row].example for row in rows])
            except Exception:
                self.failed.add((model.name, model.version))
                raise
            self.failed.discard((model.name, model.version))
            for row, prediction in zip(rows, predictions, strict=True):
                results[row] = _Found(works[row], prediction, times)
        return [results[row] for row in range(len(works))]


def _cost(ready: _Ready) -> tuple[int, ...]:
    cost = ready.model.predictor.preprocessors.cost(ready.example)
    return cost.get("image", 0), cost.get("text", 0)


def _search_for(found: _Found) -> tuple[_Search, _Found] | None:
    ready = found.ready
    if ready.query is None or ready.model.gallery is None:
        return None
    return partial(ready.model.gallery.search, found.prediction.embedding_E, ready.query), found


def _search_each(waiting: list[tuple[_Search, _Found | None]]) -> list[_Matched | Exception]:
    return [_search(search, found) for search, found in waiting]


def _search(search: _Search, found: _Found | None) -> _Matched | Exception:
    start = perf_counter()
    try:
        return _Matched(search(), perf_counter() - start, found)
    except Exception as error:  # this item's; the others' searches have nothing to do with it
        return error
