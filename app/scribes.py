"""Threads that write texts: a fair queue before them, and on each one's desk the texts that it writes at once.

A text joins between two steps, as soon as there is room, and leaves when it ends: it waits for no other's end.
Knows queues, threads and futures; knows nothing of HTTP or of tensors."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Hashable
from functools import partial
from time import perf_counter

from app.backlog import Backlog
from app.batch_limits import Limits
from app.desk import Desk, Draft, DraftJob, Turn, Written
from app.jobs import settle_all
from app.refusals import ClosedError, StuckError
from app.served import Model

_LOG = logging.getLogger(__name__)
_JOIN_SECONDS = 5  # for a step that runs; a thread that hangs must not keep the process from ending


class Scribes:
    """A bounded, fair queue before `num_workers` threads. What counts are rows: each beam of a text is one."""

    def __init__(self, *, num_workers: int, max_rows: int, max_queue_items: int) -> None:
        """Prepare, without starting anything.

        Args:
            num_workers: threads.
            max_rows: that one thread writes at once.
            max_queue_items: most texts that wait; one more is refused.
        """
        self._num_workers = num_workers
        self.on_batch: Callable[[int], object] = _ignore
        """Takes the number of rows of each step."""
        self.on_expiry: Callable[[], object] = _ignore
        """Called for each text whose deadline or client was gone before its turn came."""
        self.on_outcome: Callable[[Model, bool], object] = _ignore
        """Takes a model whose step went well, or not, in the thread that made it."""
        self._waiting = Backlog[Draft](
            Limits(items=max_rows), num_workers=num_workers, max_items=max_queue_items, is_dead=self._is_dead
        )
        self._desks: set[Desk] = set()
        self._changed = threading.Condition()
        self._num_idle = 0
        self._num_stuck = 0
        self._num_missing = 0  # threads that were given up and not yet replaced
        self._closed = True
        self._loop: asyncio.AbstractEventLoop
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads; called once, within the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        for _ in range(self._num_workers):
            self._start_worker()

    async def submit(
        self, draft: Draft, *, flow: Hashable = None, deadline: float = math.inf
    ) -> tuple[Written, float]:
        """Wait for the text; also the seconds that it waited for its first step.

        Cancelling the call (say, by a deadline) drops the text before its next token. Raises as `Batcher.submit`.
        """
        job = DraftJob(draft, self._loop.create_future(), flow, deadline, (draft.writing.num_beams,))
        with self._changed:
            if self._closed:
                raise ClosedError()
            self._waiting.push(job)
            self._changed.notify()
        try:
            return await job.future
        finally:
            del job  # see `Batcher.submit`

    async def close(self) -> None:
        """Refuse new texts, and fail those that wait or are being written."""
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
        """Texts in the queue."""
        return len(self._waiting)

    def num_running(self) -> int:
        """Rows that are being written and somebody still waits for."""
        with self._changed:
            jobs = [job for desk in self._desks for job in desk.jobs]
        return sum(job.item.writing.num_beams for job in jobs if not job.future.done())

    def turn_seconds(self, num_ahead: int) -> float:
        """How long a row behind so many would wait for its turn, by the measured rate."""
        return self._waiting.turn_seconds(num_ahead)

    def max_items(self) -> int:
        """Rows that a step may have now: fewer for a while after one found no memory."""
        return self._waiting.shrunk.items

    def num_stuck(self) -> int:
        """Threads that were given up and still hang."""
        return self._num_stuck

    def replace_stuck(self, limit_seconds: float) -> list[Model]:
        """Give up every step that has run for longer than the limit, and start a thread for each.

        Its texts are begun anew, each alone; one that hung alone fails with StuckError. Within the event loop.

        Returns:
            The models of the texts that were given up.
        """
        now, given_up, models = perf_counter(), [], []
        with self._changed:
            for desk in [desk for desk in self._desks if desk.called and now - desk.called > limit_seconds]:
                desk.given_up = True
                self._desks.discard(desk)
                self._num_stuck += 1
                self._num_missing += 1
                # What other models' texts came to in this very step holds.
                turn = Turn(list(desk.turn.told), list(desk.turn.ended), list(desk.turn.again))
                settled = {*turn.again, *(job for job, _ in turn.ended)}
                jobs = [job for job in desk.jobs if job not in settled]
                for job in jobs if len(jobs) > 1 else ():
                    job.alone = True
                for job in reversed([*turn.again, *(jobs if len(jobs) > 1 else ())]):
                    self._waiting.push_first(job)
                given_up.append((jobs, turn))
                models += [job.item.model for job in jobs]
            self._changed.notify_all()
        for jobs, turn in given_up:
            _LOG.error("generate: a step of %d texts did not end in %.1f s", len(jobs), limit_seconds)
            _hand_on(turn)
            if len(jobs) == 1:
                jobs[0].settle(StuckError(limit_seconds))
        while self._num_missing and not self._closed:
            self._start_worker()
            self._num_missing -= 1
        return models

    def _start_worker(self) -> None:
        thread = threading.Thread(target=self._work, name=f"generate-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _is_dead(self, job: DraftJob) -> bool:
        """See `Batcher`: whether nobody waits for the text any longer."""
        if not job.future.done():
            if perf_counter() < job.deadline:
                return False
            self._tell(partial(job.settle, TimeoutError()))
        self.on_expiry()
        return True

    def _work(self) -> None:
        desk = Desk()
        with self._changed:
            self._desks.add(desk)
        while self._take_and_step(desk):
            pass  # a function of its own, so that an idle thread holds nothing of its last texts

    def _take_and_step(self, desk: Desk) -> bool:
        """Whether the thread is to go on."""
        joined = self._take(desk)
        if joined is None:
            self._tell(partial(settle_all, [(job, ClosedError()) for job in desk.jobs]))
            return False
        turn = desk.turn = Turn()
        for job in joined:
            desk.add(job)
        desk.called = perf_counter()
        self.on_batch(desk.num_rows)
        desk.step()
        if not self._count(desk, turn):
            return False
        for model in (*turn.failed, *turn.worked):
            self.on_outcome(model, model not in turn.failed)
        if turn.told or turn.ended:
            self._tell(partial(_hand_on, turn))
        desk.turn = Turn()  # so that an idle thread keeps no model that is unloaded
        return True

    def _count(self, desk: Desk, turn: Turn) -> bool:
        """Take note of a step; False where it was given up meanwhile."""
        with self._changed:
            if desk.given_up:
                self._num_stuck -= 1
                self._threads.remove(threading.current_thread())
                return False  # another has taken this thread's place
            desk.busy += perf_counter() - (desk.called or 0.0)
            desk.called = None
            if turn.memory_lacked and turn.again:
                self._waiting.shrunk.to(sum(job.cost[0] for job in turn.again) // 2)
            elif turn.worked:
                self._waiting.shrunk.went_well()
            for job in reversed(turn.again):
                self._waiting.push_first(job)
            num_ended = sum(job.cost[0] for job, result in turn.ended if isinstance(result, Written))
            if num_ended:
                self._waiting.pace.worked(num_ended, desk.busy)
                desk.busy = 0.0
            if turn.again:
                self._changed.notify_all()
        return True

    def _take(self, desk: Desk) -> list[DraftJob] | None:
        """What joins before the next step; waits only where the desk is empty. None once closed."""
        with self._changed:
            while not self._closed:
                joined = self._next(desk)
                if joined or desk.jobs:
                    return joined
                desk.busy = 0.0
                self._num_idle += 1
                try:
                    self._changed.wait()
                finally:
                    self._num_idle -= 1
            return None

    def _next(self, desk: Desk) -> list[DraftJob]:
        num_rows, joined = desk.num_rows, list[DraftJob]()
        if desk.is_private or (num_rows and self._num_idle):  # an idle thread was told, and takes it
            return joined

        def fits(job: DraftJob) -> bool:
            return not num_rows or (not job.alone and num_rows + job.cost[0] <= self._waiting.shrunk.items)

        while (job := self._waiting.pop_if(fits)) is not None:
            job.queued += perf_counter() - job.arrived
            num_rows += job.cost[0]
            joined.append(job)
            # On a CPU an image takes as long as ten tokens, for which all others wait: one joins before each step.
            if job.alone or (job.item.model.on_cpu and job.item.encoded is None):
                break
        return joined

    def _tell(self, settle: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:
            _LOG.warning("the event loop ended before a text was answered")


def _hand_on(turn: Turn) -> None:
    """Give pieces and whole texts to whoever waits for them. Within the event loop."""
    for draft, text in turn.told:
        draft.tell(text)
    settle_all(turn.ended)


def _ignore(*_: object) -> None:
    pass
