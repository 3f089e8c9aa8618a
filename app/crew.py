"""Threads before which items wait, and who looks after them: starts them, replaces those that hang, ends them.

Knows queues, threads and futures; what a thread does with what waits is its children's: `Batcher`, `Scribes`."""

import asyncio
import logging
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

from app.backlog import Backlog
from app.batch_limits import Limits
from app.jobs import In, Job, Out
from app.refusals import ClosedError, StuckError

_LOG = logging.getLogger(__name__)
JOIN_SECONDS = 5
"""For work that runs; a thread that hangs must not keep the process from ending."""


class Work(Protocol):
    """What one thread does at a time. Whoever gives it up says so here, and the thread ends when it notices.

    called: when that began which runs now, by `perf_counter`; None where nothing runs.
    """

    called: float | None
    given_up: bool


W = TypeVar("W", bound=Work)


@dataclass(frozen=True, slots=True, eq=False)
class Wreck(Generic[In]):
    """What work that hangs leaves behind.

    jobs: that it is at; one of them hangs.
    again: that it had to put back for another reason.
    tell: gives what was done already to whoever waits for it. Within the event loop.
    """

    jobs: Sequence[Job[In, Any]]
    again: Sequence[Job[In, Any]] = ()
    tell: Callable[[], None] = lambda: None


class Crew(ABC, Generic[In, Out, W]):
    """A bounded, fair queue before `num_workers` threads."""

    def __init__(
        self,
        *,
        name: str,
        num_workers: int,
        limits: Limits,
        max_queue_items: int,
        cost: Callable[[In], tuple[int, ...]],
    ) -> None:
        """Prepare, without starting anything.

        Args:
            name: of the threads, for people.
            num_workers: threads.
            limits: of what a thread takes at once.
            max_queue_items: most items that wait; one more is refused.
            cost: of an item.
        """
        self._name = name
        self._num_workers = num_workers
        self._cost = cost
        self.on_batch: Callable[[int], object] = ignore
        """Takes the size of each batch, or step, before it is run, in a worker's thread."""
        self.on_expiry: Callable[[], object] = ignore
        """Called for each item whose deadline or client was gone before its turn came."""
        self._waiting = Backlog[In](
            limits, num_workers=num_workers, max_items=max_queue_items, is_dead=self._is_dead
        )
        self._running: set[W] = set()
        self._changed = threading.Condition()
        self._num_idle = 0
        self._num_stuck = 0
        self._num_missing = 0  # threads that were given up and not yet replaced
        self._closed = True
        self._loop: asyncio.AbstractEventLoop
        self._threads: list[threading.Thread] = []

    @abstractmethod
    def _work(self) -> None:
        """What a thread does until the crew is closed, or `_is_replaced` says that another has its place."""

    @abstractmethod
    def _wreck(self, work: W) -> Wreck[In]:
        """What is left of work that is given up. Under the lock, and its thread may still wake."""

    def start(self) -> None:
        """Start the threads; called once, within the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        for _ in range(self._num_workers):
            self._start_worker()

    async def submit(self, item: In, *, flow: Hashable = None, deadline: float = math.inf) -> tuple[Out, float]:
        """Wait for the item's result; also the seconds that it spent in the queue.

        Cancelling the call (say, by a deadline) drops the item before its turn, and a text before its next token.

        Args:
            item: what is to be worked on.
            flow: whom the item belongs to; flows take turns. None is a flow of its own.
            deadline: by `perf_counter`; an item whose turn comes later is dropped, and this raises TimeoutError.

        Raises:
            QueueFullError: at once, if the queue is full.
            ClosedError: if the crew is closed, or closes before the item's turn.
            StuckError: its work did not end.
            TimeoutError: past the deadline.
            Exception: what the work on this item raised.
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

    async def close(self) -> None:
        """Refuse new items, fail those that still wait, and let what runs end, unless it hangs."""
        with self._changed:
            self._closed = True
            left = self._waiting.drain()
            self._changed.notify_all()
        for job in left:
            job.settle(ClosedError())
        end = perf_counter() + JOIN_SECONDS
        for thread in list(self._threads):
            await asyncio.to_thread(thread.join, max(0.0, end - perf_counter()))

    def num_waiting(self) -> int:
        """Items in the queue."""
        return len(self._waiting)

    def turn_seconds(self, num_ahead: int) -> float:
        """How long an item behind so many would wait for its turn, by the measured rate."""
        return self._waiting.turn_seconds(num_ahead)

    def max_items(self) -> int:
        """The size that a batch, or step, may have now: less for a while after one found no memory."""
        return self._waiting.shrunk.items

    def num_stuck(self) -> int:
        """Threads that were given up and still hang."""
        return self._num_stuck

    def replace_stuck(self, limit_seconds: float) -> list[list[In]]:
        """Give up all work that has run for longer than the limit, and start a thread for each.

        Of several items each is tried again, alone: one of them hung, and the others need not wait with it. An
        item that hung alone fails with StuckError. Called within the event loop.

        Returns:
            Of all work that was given up, the items.
        """
        wrecks = []
        with self._changed:
            now = perf_counter()
            for work in [work for work in self._running if work.called and now - work.called > limit_seconds]:
                work.given_up = True
                self._running.discard(work)
                self._num_stuck += 1
                self._num_missing += 1
                wreck = self._wreck(work)
                tried = wreck.jobs if len(wreck.jobs) > 1 else ()
                for job in tried:
                    job.alone = True
                for job in reversed([*wreck.again, *tried]):
                    self._waiting.push_first(job)
                wrecks.append(wreck)
            self._changed.notify_all()
        for wreck in wrecks:
            _LOG.error("%s: work on %d did not end in %.1f s", self._name, len(wreck.jobs), limit_seconds)
            wreck.tell()
            if len(wreck.jobs) == 1:
                wreck.jobs[0].settle(StuckError(limit_seconds))
        while self._num_missing and not self._closed:
            self._start_worker()
            self._num_missing -= 1
        return [[job.item for job in wreck.jobs] for wreck in wrecks]

    def _start_worker(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _is_replaced(self, work: W) -> bool:
        """Whether another thread has this one's place, which then is to end. Under the lock."""
        if work.given_up:
            self._num_stuck -= 1
            self._threads.remove(threading.current_thread())
        return work.given_up

    def _is_dead(self, job: Job[In, Any]) -> bool:
        """Whether nobody waits for the item any longer; counted, and answered where its time is over."""
        if not job.future.done():
            if perf_counter() < job.deadline:
                return False
            self._tell(partial(job.settle, TimeoutError()))
        self.on_expiry()
        return True

    def _tell(self, settle: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:
            _LOG.warning("the event loop ended before an item was answered")


def ignore(*_: object) -> None:
    """For whoever is told of something, and does nothing."""
