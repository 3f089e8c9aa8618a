"""Group waiting items into batches for a few worker threads, and settle the future of each.

Knows queues, threads and futures; knows nothing of HTTP or of tensors."""

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

_LOG = logging.getLogger(__name__)
_JOIN_SECONDS = 5  # for a batch that runs; a worker that hangs must not keep the process from ending
_MEMORY = 0.9  # share of the old estimate of an item's cost that a new measurement leaves


class QueueFullError(Exception):
    """More items wait than may. `retry_after_seconds` is when a place should be free, as measured."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"The queue is full. Try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class ClosedError(Exception):
    """The service is stopping and takes no more items."""

    def __init__(self) -> None:
        super().__init__("The service is stopping. Send the request to another replica, or again later.")


@dataclass(slots=True, eq=False)
class _Job(Generic[In, Out]):
    item: In
    future: "asyncio.Future[tuple[Out, float]]"
    arrived: float = field(default_factory=perf_counter)


class Batcher(Generic[In, Out]):
    """A bounded queue before `num_workers` threads.

    A worker takes what already waits and never waits for more: on a CPU a fuller batch saves some 8 % of
    an item's time, less than any wait costs. Where other workers idle it leaves them their share.
    """

    def __init__(
        self,
        run: Callable[[list[In]], Sequence[Out | Exception]],
        *,
        name: str,
        num_workers: int,
        max_batch_items: int,
        max_queue_items: int,
    ) -> None:
        """Prepare, without starting anything.

        Args:
            run: called in a worker thread; one result or exception for each item, in order. If it raises
                for a batch of several, it is called again for each alone, so that one bad item fails alone.
            name: of the threads, for people.
            num_workers: threads.
            max_batch_items: most items in one call of `run`.
            max_queue_items: most items that wait; one more is refused.
        """
        self._run = run
        self._max_batch_items = max_batch_items
        self._max_queue_items = max_queue_items
        self.on_batch: Callable[[int], object] = _ignore
        """Takes the number of items before each call of `run`, in a worker's thread."""
        self.on_refusal: Callable[[], object] = _ignore
        """Called for each item that a full queue refuses."""
        self._waiting: deque[_Job[In, Out]] = deque()
        self._running_since: dict[int, float] = {}
        self._changed = threading.Condition()
        self._num_idle = 0
        self._closed = True
        self._seconds_per_item = 0.0
        self._loop: asyncio.AbstractEventLoop
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(num_workers)
        ]

    def start(self) -> None:
        """Start the workers; called once, within the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        for thread in self._threads:
            thread.start()

    async def submit(self, item: In) -> tuple[Out, float]:
        """Wait for the item's result; also the seconds that it spent in the queue.

        Cancelling the call (say, by a deadline) drops the item, unless a worker has already begun it.

        Raises:
            QueueFullError: at once, if the queue is full.
            ClosedError: if the batcher is closed, or closes before the item's turn.
            Exception: what `run` raised or returned for this item.
        """
        job: _Job[In, Out] = _Job(item, self._loop.create_future())
        with self._changed:
            if self._closed:
                raise ClosedError()
            if len(self._waiting) >= self._max_queue_items:
                self._drop_cancelled()
            if len(self._waiting) >= self._max_queue_items:
                self.on_refusal()
                raise QueueFullError(self._retry_after_seconds())
            self._waiting.append(job)
            self._changed.notify()
        return await job.future

    async def close(self) -> None:
        """Refuse new items, fail those that still wait, and let running batches end, unless they hang."""
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for job in left:
            _settle(job.future, ClosedError())
        end = perf_counter() + _JOIN_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                await asyncio.to_thread(thread.join, max(0.0, end - perf_counter()))

    def num_waiting(self) -> int:
        """Items in the queue."""
        return len(self._waiting)

    def longest_run_seconds(self) -> float:
        """How long the oldest of the batches that are being run has been; a worker that hangs shows here."""
        return perf_counter() - min(self._running_since.copy().values(), default=perf_counter())

    def _drop_cancelled(self) -> None:
        alive = [job for job in self._waiting if not job.future.done()]
        self._waiting.clear()
        self._waiting.extend(alive)

    def _retry_after_seconds(self) -> int:
        ahead = self._seconds_per_item * len(self._waiting) / len(self._threads)
        return max(1, math.ceil(ahead))

    def _work(self) -> None:
        while jobs := self._take():
            start = self._running_since[threading.get_ident()] = perf_counter()
            self.on_batch(len(jobs))
            results = self._results([job.item for job in jobs])
            del self._running_since[threading.get_ident()]
            self._measure(len(jobs), perf_counter() - start)
            settled = [
                (job.future, result if isinstance(result, Exception) else (result, start - job.arrived))
                for job, result in zip(jobs, results, strict=True)
            ]
            try:
                self._loop.call_soon_threadsafe(_settle_all, settled)  # one wake-up of the loop for the batch
            except RuntimeError:
                _LOG.warning("the event loop ended before %d items were answered", len(jobs))

    def _take(self) -> list[_Job[In, Out]]:
        """The next batch, without the items that were cancelled meanwhile; empty once closed."""
        with self._changed:
            self._num_idle += 1
            try:
                while not self._closed:
                    share = min(self._max_batch_items, math.ceil(len(self._waiting) / self._num_idle))
                    jobs = [self._waiting.popleft() for _ in range(share)]
                    if alive := [job for job in jobs if not job.future.done()]:
                        return alive
                    if not self._waiting:
                        self._changed.wait()
                return []
            finally:
                self._num_idle -= 1

    def _results(self, items: list[In]) -> Sequence[Out | Exception]:
        try:
            results = self._run(items)
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results for {len(items)} items")
        except Exception as error:  # it belongs to the futures
            if len(items) == 1:
                return [error]
            return [result for item in items for result in self._results([item])]
        return results

    def _measure(self, num_items: int, seconds: float) -> None:
        # Unlocked: two workers may lose one of two measurements, which an estimate survives.
        per_item = seconds / num_items
        old = self._seconds_per_item or per_item
        self._seconds_per_item = _MEMORY * old + (1 - _MEMORY) * per_item


def _ignore(*_: object) -> None:
    pass


def _settle(future: "asyncio.Future[tuple[Out, float]]", result: tuple[Out, float] | Exception) -> None:
    if future.done():  # cancelled meanwhile
        return
    if isinstance(result, StopIteration):  # which a future refuses to hold
        result = RuntimeError("an item's work raised StopIteration")
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _settle_all(
    settled: "list[tuple[asyncio.Future[tuple[Out, float]], tuple[Out, float] | Exception]]",
) -> None:
    for future, result in settled:
        _settle(future, result)
