"""Group waiting items into batches for a few worker threads, and settle the future of each.

Knows queues, threads and futures; knows nothing of HTTP or of tensors."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Generic

from app.backlog import Backlog
from app.batch_limits import Limits
from app.jobs import In, Job, Out, Run, as_exception, settle_all
from app.refusals import ClosedError, QueueFullError, StuckError

_LOG = logging.getLogger(__name__)
_JOIN_SECONDS = 5  # for a batch that runs; a worker that hangs must not keep the process from ending


class Batcher(Generic[In, Out]):
    """A bounded, fair queue before `num_workers` threads.

    A worker takes what already waits; where other workers idle it leaves them their share. It waits for more only
    if the limits allow that and items arrive fast enough: on a CPU a fuller batch saves some 8 % of an item's
    time, less than any wait costs; on a GPU it saves most of it.
    """

    def __init__(
        self,
        run: Callable[[list[In]], Sequence[Out | Exception]],
        *,
        name: str,
        num_workers: int,
        limits: Limits,
        max_queue_items: int,
        cost: Callable[[In], tuple[int, ...]] = lambda _: (),
    ) -> None:
        """Prepare, without starting anything.

        Args:
            run: called in a worker thread; one result or exception for each item, in order. If it raises for a
                batch of several, it is called again for each half, so that one bad item fails alone. After a
                MemoryError no batch is that large again.
            name: of the threads, for people.
            num_workers: threads.
            limits: of a batch.
            max_queue_items: most items that wait; one more is refused.
            cost: of an item, in the kinds of `limits.cost`.
        """
        self._run = run
        self._name = name
        self._num_workers = num_workers
        self._cost = cost
        self.on_batch: Callable[[int], object] = _ignore
        """Takes the number of items of each batch before it is run, in a worker's thread."""
        self.on_expiry: Callable[[], object] = _ignore
        """Called for each item whose deadline or client was gone before its turn came."""
        self._waiting = Backlog[In](
            limits, num_workers=num_workers, max_items=max_queue_items, is_dead=self._is_dead
        )
        self._next: Batcher[Any, Any] | None = None
        self._onward: Callable[[Out], Any] = _ignore
        self._running: set[Run[In, Any]] = set()
        self._changed = threading.Condition()
        self._num_idle = 0
        self._num_stuck = 0
        self._num_missing = 0  # workers that were given up and not yet replaced
        self._closed = True
        self._loop: asyncio.AbstractEventLoop
        self._threads: list[threading.Thread] = []

    def lead_to(self, following: "Batcher[Any, Any]", onward: Callable[[Out], Any]) -> None:
        """Hand results on to another batcher, from thread to thread: the event loop is asked only for the end.

        Args:
            following: whose result then is what `submit` gives, with the seconds spent in both queues.
            onward: from a result to the other's item, or to None where it ends here.
        """
        self._next, self._onward = following, onward

    def start(self) -> None:
        """Start the workers; called once, within the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        for _ in range(self._num_workers):
            self._start_worker()

    async def submit(self, item: In, *, flow: Hashable = None, deadline: float = math.inf) -> tuple[Out, float]:
        """Wait for the item's result; also the seconds that it spent in the queue.

        Cancelling the call (say, by a deadline) drops the item, unless a worker has already begun it.

        Args:
            item: what `run` is to take.
            flow: whom the item belongs to; flows take turns. None is a flow of its own.
            deadline: by `perf_counter`; an item whose turn comes later is dropped, and this raises TimeoutError.

        Raises:
            QueueFullError: at once, if the queue is full.
            ClosedError: if the batcher is closed, or closes before the item's turn.
            StuckError: its work did not end.
            TimeoutError: past the deadline.
            Exception: what `run` raised or returned for this item.
        """
        job: Job[In, Any] = Job(item, self._loop.create_future(), flow, deadline, self._cost(item))
        with self._changed:
            if self._closed:
                raise ClosedError()
            self._waiting.push(job)
            self._changed.notify()
        try:
            return await job.future
        finally:
            del job  # else an exception's traceback holds this frame, and the frame the exception and the item

    def take_over(self, jobs: Sequence[tuple[Job[Any, Any], In]]) -> None:
        """Queue items for jobs that another batcher has done its part of. Called in its worker's thread."""
        refused: list[tuple[Job[Any, Any], Exception]] = []
        taken = [
            Job(item, job.future, job.flow, job.deadline, self._cost(item), queued=job.queued)
            for job, item in jobs
        ]
        with self._changed:
            for job in taken:
                try:
                    if self._closed:
                        raise ClosedError()
                    self._waiting.push(job)
                except (ClosedError, QueueFullError) as error:
                    refused.append((job, error))
            self._changed.notify(len(taken))
        if refused:
            self._tell(partial(settle_all, refused))

    async def close(self) -> None:
        """Refuse new items, fail those that still wait, and let running batches end, unless they hang."""
        with self._changed:
            self._closed = True
            left = self._waiting.drain()
            self._changed.notify_all()
        for job in left:
            job.settle(ClosedError())
        end = perf_counter() + _JOIN_SECONDS
        for thread in list(self._threads):
            await asyncio.to_thread(thread.join, max(0.0, end - perf_counter()))

    def num_waiting(self) -> int:
        """Items in the queue."""
        return len(self._waiting)

    def num_running(self) -> int:
        """Items in the workers' hands that somebody still waits for."""
        with self._changed:
            return sum(not job.future.done() for run in self._running for job in run.jobs)

    def turn_seconds(self, num_ahead: int) -> float:
        """How long an item behind so many would wait for its turn, by the measured rate."""
        return self._waiting.turn_seconds(num_ahead)

    def max_items(self) -> int:
        """Items that a batch may have now: fewer for a while after one found no memory."""
        return self._waiting.shrunk.items

    def num_stuck(self) -> int:
        """Threads that were given up and still hang."""
        return self._num_stuck

    def replace_stuck(self, limit_seconds: float) -> list[In]:
        """Give up every batch that has run for longer than the limit, and start a worker for each.

        A batch of several is tried again, each item alone: one of them hung, and the others need not wait with it.
        An item that hung alone fails with StuckError. Called within the event loop.

        Returns:
            The first item of each batch that was given up.
        """
        with self._changed:
            stuck = [run for run in self._running if perf_counter() - run.called > limit_seconds]
            for run in stuck:
                run.given_up = True
                self._running.discard(run)
                self._num_stuck += 1
                self._num_missing += 1
                for job in reversed(run.jobs if len(run.jobs) > 1 else []):
                    job.alone = True
                    self._waiting.push_first(job)
            self._changed.notify_all()
        for run in stuck:
            _LOG.error("%s: a batch of %d did not end in %.1f s", self._name, len(run.jobs), limit_seconds)
            if len(run.jobs) == 1:
                run.jobs[0].settle(StuckError(limit_seconds))
        while self._num_missing and not self._closed:
            self._start_worker()
            self._num_missing -= 1
        return [run.jobs[0].item for run in stuck]

    def _start_worker(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _is_dead(self, job: Job[In, Any]) -> bool:
        """Whether nobody waits for the item any longer; counted, and answered where its time is over."""
        if not job.future.done():
            if perf_counter() < job.deadline:
                return False
            self._tell(partial(job.settle, TimeoutError()))
        self.on_expiry()
        return True

    def _work(self) -> None:
        while self._take_and_run():
            pass  # a function of its own, so that an idle worker holds nothing of its last batch: a model, say

    def _take_and_run(self) -> bool:
        """Whether the worker is to go on."""
        run = self._take()
        if run is None:
            return False
        self.on_batch(len(run.jobs))
        results = self._results(run, [job.item for job in run.jobs])
        with self._changed:
            if run.given_up:
                self._num_stuck -= 1
                self._threads.remove(threading.current_thread())
                return False  # another has taken this worker's place
            self._running.discard(run)
            self._waiting.pace.worked(len(run.jobs), perf_counter() - run.started)
        for job in run.jobs:
            job.queued += run.started - job.arrived
        self._pass_on(list(zip(run.jobs, results, strict=True)))
        return True

    def _pass_on(self, done: list[tuple[Job[In, Any], Out | Exception]]) -> None:
        """Hand on what leads to the next batcher, and answer the rest with one wake-up of the event loop."""
        ended: list[tuple[Job[In, Any], Any]] = []
        followed = []
        for job, result in done:
            item = None if isinstance(result, Exception) else self._onward(result)
            if item is None:
                ended.append((job, result))
            else:
                followed.append((job, item))
        if self._next is not None and followed:
            self._next.take_over(followed)
        if ended:
            self._tell(partial(settle_all, ended))

    def _tell(self, settle: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:
            _LOG.warning("the event loop ended before an item was answered")

    def _take(self) -> Run[In, Any] | None:
        """The next batch, without the items that nobody waits for; None once closed."""
        with self._changed:
            self._num_idle += 1
            try:
                while not self._closed:
                    pause = self._waiting.pause()
                    if pause is None or pause > 0:
                        self._changed.wait(pause)
                    elif jobs := self._waiting.take(self._num_idle):
                        run = Run(jobs)
                        self._running.add(run)
                        return run
                return None
            finally:
                self._num_idle -= 1

    def _results(self, run: Run[In, Any], items: list[In]) -> Sequence[Out | Exception]:
        if run.given_up:  # nobody takes them
            return [StuckError(perf_counter() - run.started)] * len(items)
        run.called = perf_counter()
        try:
            results = self._run(items)
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results for {len(items)} items")
        except BaseException as error:  # a library in Rust panics with one that is no Exception
            if len(items) == 1:  # it belongs to the future
                return [as_exception(error)]
            half = len(items) // 2
            if isinstance(error, MemoryError):
                _LOG.warning("%s: no memory for %d items at once; for a while %d", self._name, len(items), half)
                self._waiting.shrunk.to(half)
        else:
            self._waiting.shrunk.went_well()
            return results
        return [*self._results(run, items[:half]), *self._results(run, items[half:])]


def _ignore(*_: object) -> None:
    pass
