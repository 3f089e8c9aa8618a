"""The pipe that every item goes through, in worker threads, off the event loop.

    inputs ──decode, prepare──► Example ──batch, encode, fuse──► Prediction ──search──► Answer

Each arrow has workers of its own, so that one batch is searched for while the next is computed. Knows models and
queues; knows nothing of HTTP, nor of which models are served."""

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from app.batching import Batcher, Limits
from app.cores import usable_cores
from app.payload import Inputs, Search
from app.refusals import QueueFullError
from app.served import Answer, Model
from app.settings import Settings
from models.batch import Example
from models.image_guards import ImageLimits
from models.predictor import ForwardTimes, Prediction
from retrieval.gallery import Gallery, Match

_Raw = tuple[Model, Inputs]
_Work = tuple[Model, Example]
_Query = tuple[Gallery, Search, Prediction]

_WATCH_SECONDS = 0.25
# Of a request's time, the most that it may be expected to wait: the estimate is a mean over noise, the work itself
# takes its time too, and a shorter queue loses no throughput while there is one.
_SHARE_OF_DEADLINE = 0.5
_MAX_STUCK = 8  # threads that hang and cannot be ended; beyond, only a new process helps


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a request brings into the pipe beside its inputs.

    record: takes a stage's name and its seconds; see `telemetry.Timings.record`.
    deadline: by `perf_counter`; no work on it begins later.
    flow: the items of one flow take turns with others', so that a large batch starves nobody.
    """

    record: Callable[[str, float], None]
    deadline: float = math.inf
    flow: Hashable = None

    def remaining_seconds(self) -> float:
        """Until the deadline; negative past it."""
        return self.deadline - perf_counter()


class Pipeline:
    """One set of queues and workers for all models, so that they do not contend for cores."""

    def __init__(self, settings: Settings, num_workers: int) -> None:
        """Prepare, without starting a thread; `num_workers` run the network."""
        self._settings = settings
        self._engine_failed = False
        self._limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
        self._num_inside = 0  # items that were let in and have no prediction yet
        # `admit` bounds all queues together; each has room for what it let in, and drops what nobody waits for.
        max_queue_items = settings.max_queue_items + num_workers * settings.max_batch_items + 1
        # Decoding and searching take a thirtieth of the network's time: half the cores can feed all of them.
        light: dict[str, Any] = {
            "num_workers": max(1, usable_cores() // 2),
            "limits": Limits(items=1),
            "max_queue_items": max_queue_items,
        }
        self._decoder = Batcher[_Raw, tuple[Example, float]](self._decode, name="decode", **light)
        self._searcher = Batcher[_Query, tuple[Sequence[Match], float]](_search, name="search", **light)
        self._forward = Batcher[_Work, tuple[Prediction, ForwardTimes]](
            self._forward_batch,
            name="forward",
            num_workers=num_workers,
            limits=Limits(
                items=settings.max_batch_items,
                cost=(settings.max_batch_pixels, settings.max_batch_tokens),
                wait_seconds=settings.max_batch_wait_ms / 1000,
            ),
            max_queue_items=max_queue_items,
            cost=_cost,
        )
        self.on_refusal: Callable[[], object] = lambda: None
        """Called for each item that is not let in."""
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
    def engine_failed(self) -> bool:
        """Whether the last forward pass failed, or hung."""
        return self._engine_failed

    @property
    def beyond_repair(self) -> bool:
        """Whether so many threads hang that only a new process helps."""
        return sum(queue.num_stuck() for queue in self.queues.values()) >= _MAX_STUCK

    def admit(self, call: Call) -> None:
        """Refuse an item at the door that would find no place, or no time: before it is read, let alone decoded.

        Raises:
            QueueFullError: `max_queue_items` wait already, or more than can be done before the call's deadline.
        """
        waiting = self._num_inside - self._forward.num_running()
        wait_seconds = self._forward.wait_seconds(waiting)
        late = wait_seconds > _SHARE_OF_DEADLINE * call.remaining_seconds()
        if late or waiting >= self._settings.max_queue_items:
            self.on_refusal()
            raise QueueFullError(wait_seconds)

    async def run(self, model: Model, inputs: Inputs, search: Search | None, call: Call) -> Answer:
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

    async def warm_up(self, model: Model) -> None:
        """Run one real inference of the model.

        Raises:
            Exception: whatever the engine raises.
        """
        await self._through(model, model.some_inputs(), Search(), Call(record=lambda *_: None))

    async def _through(self, model: Model, inputs: Inputs, search: Search | None, call: Call) -> Answer:
        turn: dict[str, Any] = {"flow": call.flow, "deadline": call.deadline}
        matches: Sequence[Match] = []
        search_wait = 0.0
        async with asyncio.timeout(None if math.isinf(call.deadline) else call.remaining_seconds()):
            self._num_inside += 1
            try:
                (example, decode_seconds), decode_wait = await self._decoder.submit((model, inputs), **turn)
                call.record("decode", decode_seconds)
                (prediction, times), forward_wait = await self._forward.submit((model, example), **turn)
            finally:
                self._num_inside -= 1
            call.record("encode", times.encode)
            call.record("fuse", times.fuse)
            if search is not None and model.gallery is not None:
                query = (model.gallery, search, prediction)
                (matches, search_seconds), search_wait = await self._searcher.submit(query, **turn)
                call.record("search", search_seconds)
        call.record("queue", decode_wait + forward_wait + search_wait)
        return Answer(model, prediction, matches)

    async def _replace_stuck(self) -> None:
        """Look after the workers for as long as the service runs."""
        limit_seconds = self._settings.stuck_seconds
        while True:
            await asyncio.sleep(min(_WATCH_SECONDS, limit_seconds / 4))
            for name, queue in self.queues.items():
                if queue.replace_stuck(limit_seconds) and name == "forward":
                    self._engine_failed = True  # until an inference shows that it works

    def _decode(self, waiting: list[_Raw]) -> list[tuple[Example, float]]:
        [(model, inputs)] = waiting
        start = perf_counter()
        example = model.predictor.prepare(model.decode(inputs, self._limits))
        return [(example, perf_counter() - start)]

    def _forward_batch(self, works: list[_Work]) -> list[tuple[Prediction, ForwardTimes]]:
        """Run a batch, which may be of several models: one pass for each."""
        results: dict[int, tuple[Prediction, ForwardTimes]] = {}
        for model in dict.fromkeys(model for model, _ in works):
            rows = [row for row, (other, _) in enumerate(works) if other is model]
            try:
                predictions, times = model.predictor.predict_timed([works[row][1] for row in rows])
            except Exception:
                self._engine_failed = True
                raise
            self._engine_failed = False
            for row, prediction in zip(rows, predictions, strict=True):
                results[row] = prediction, times
        return [results[row] for row in range(len(works))]


def _cost(work: _Work) -> tuple[int, ...]:
    model, example = work
    cost = model.predictor.preprocessors.cost(example)
    return cost.get("image", 0), cost.get("text", 0)


def _search(waiting: list[_Query]) -> list[tuple[Sequence[Match], float]]:
    [(gallery, search, prediction)] = waiting
    start = perf_counter()
    matches = gallery.search(prediction.embedding_E, target=search.target, top_k=search.top_k, where=search.where)
    return [(matches, perf_counter() - start)]
