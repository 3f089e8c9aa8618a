"""The items that wait for a batcher's workers, and which of them the next batch is. Knows no threads.

Not locked: its batcher holds a lock around every call."""

import math
from collections.abc import Callable
from time import perf_counter
from typing import Any, Generic

from app.batch_limits import Limits, Shrunk
from app.fair_queue import FairQueue
from app.jobs import In, Job
from app.pace import Pace
from app.refusals import QueueFullError


class Backlog(Generic[In]):
    """A bounded, fair queue that gives whole batches."""

    def __init__(
        self, limits: Limits, *, num_workers: int, max_items: int, is_dead: Callable[[Job[In, Any]], bool]
    ) -> None:
        """Begin empty.

        Args:
            limits: of a batch.
            num_workers: who take batches; for the estimate of a wait.
            max_items: most that wait.
            is_dead: whether nobody waits for a job any longer; it settles and counts what it finds so.
        """
        self._limits = limits
        self._num_workers = num_workers
        self._max_items = max_items
        self._is_dead = is_dead
        self._queue: FairQueue[Job[In, Any]] = FairQueue()
        self.pace = Pace()
        self.shrunk = Shrunk(limits.items)

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, job: Job[In, Any]) -> None:
        """Append to the job's flow.

        Raises:
            QueueFullError: there is no place, though what nobody waits for was dropped.
        """
        if len(self) >= self._max_items:
            for other in self.drain():
                if not self._is_dead(other):
                    self._queue.push(other, other.flow or other)
        if len(self) >= self._max_items:
            raise QueueFullError(self.turn_seconds(len(self)))
        self.pace.arrived(job.arrived)
        self._queue.push(job, job.flow or job)

    def push_first(self, job: Job[In, Any]) -> None:
        """Put before all others, for what had its turn already."""
        self._queue.push_first(job)

    def drain(self) -> list[Job[In, Any]]:
        """Everything, in turn; none is left."""
        return [self._queue.pop() for _ in range(len(self))]

    def turn_seconds(self, num_ahead: int) -> float:
        """How long an item behind so many would wait for its turn, by the measured rate."""
        return self.pace.turn_seconds(num_ahead, self._num_workers)

    def pause(self) -> float | None:
        """Seconds to wait for a fuller batch, 0 or less where there is one to take; None where nothing waits."""
        if self._next() is None:
            return None
        patience = self.pace.patience_seconds(self.shrunk.items - len(self), self._limits.linger_seconds)
        return self._queue.peek().arrived + patience - perf_counter()

    def pop_if(self, fits: Callable[[Job[In, Any]], bool]) -> Job[In, Any] | None:
        """The next item that somebody waits for, if it fits."""
        job = self._next()
        return None if job is None or not fits(job) else self._queue.pop()

    def _next(self) -> Job[In, Any] | None:
        """The next item, once those that nobody waits for are dropped."""
        while len(self) and self._is_dead(self._queue.peek()):
            self._queue.pop()
        return self._queue.peek() if len(self) else None

    def take(self, num_idle: int) -> list[Job[In, Any]]:
        """The next batch, within the limits and leaving idle workers their share; without what is dead."""
        # Whoever lingers for a full batch wants it whole.
        fair = math.ceil(len(self) / (1 if self._limits.linger_seconds else num_idle))
        share = min(self.shrunk.items, fair)
        jobs: list[Job[In, Any]] = []
        total = (0,) * len(self._limits.cost)
        while len(self) and len(jobs) < share:
            job = self._queue.peek()
            if self._is_dead(job):
                self._queue.pop()
                continue
            total = tuple(map(sum, zip(total, job.cost, strict=True)))
            over = any(spent > limit for spent, limit in zip(total, self._limits.cost, strict=True))
            if jobs and (over or job.alone or jobs[0].alone):
                break
            jobs.append(self._queue.pop())
        return jobs
