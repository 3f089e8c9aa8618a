"""Group waiting items into batches for a few worker threads, and settle the future of each.

A crew (`app.crew`) whose threads run batches; knows nothing of HTTP or of tensors."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from app.batch_limits import Limits
from app.crew import Crew, Wreck, ignore
from app.jobs import In, Job, Out, Run, as_exception, settle_all
from app.refusals import ClosedError, QueueFullError, StuckError

_LOG = logging.getLogger(__name__)


class Batcher(Crew[In, Out, Run[In, Any]]):
    """A crew that works on batches.

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
        super().__init__(
            name=name, num_workers=num_workers, limits=limits, max_queue_items=max_queue_items, cost=cost
        )
        self._run = run
        self._next: Batcher[Any, Any] | None = None
        self._onward: Callable[[Out], Any] = ignore

    def lead_to(self, following: "Batcher[Any, Any]", onward: Callable[[Out], Any]) -> None:
        """Hand results on to another batcher, from thread to thread: the event loop is asked only for the end.

        Args:
            following: whose result then is what `submit` gives, with the seconds spent in both queues.
            onward: from a result to the other's item, or to None where it ends here.
        """
        self._next, self._onward = following, onward

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

    def num_running(self) -> int:
        """Items in the workers' hands that somebody still waits for."""
        with self._changed:
            return sum(not job.future.done() for run in self._running for job in run.jobs)

    def _wreck(self, work: Run[In, Any]) -> Wreck[In]:
        return Wreck(work.jobs)

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
            if self._is_replaced(run):
                return False
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
