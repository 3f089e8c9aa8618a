"""Threads that write texts: a fair queue before them, and on each one's desk the texts that it writes at once.

A text joins between two steps, as soon as there is room, and leaves when it ends: it waits for no other's end.
A crew (`app.crew`) whose threads have desks; knows nothing of HTTP or of tensors."""

from collections.abc import Callable
from functools import partial
from time import perf_counter

from app.batch_limits import Limits
from app.crew import Crew, Wreck, ignore
from app.desk import Desk, Draft, DraftJob, Turn, Written
from app.jobs import settle_all
from app.refusals import ClosedError
from app.served import Model


class Scribes(Crew[Draft, Written, Desk]):
    """A crew that writes. What counts are rows: each beam of a text is one."""

    def __init__(self, *, num_workers: int, max_rows: int, max_queue_items: int) -> None:
        """Prepare, without starting anything.

        Args:
            num_workers: threads.
            max_rows: that one thread writes at once.
            max_queue_items: most texts that wait; one more is refused.
        """
        super().__init__(
            name="generate",
            num_workers=num_workers,
            limits=Limits(items=max_rows),
            max_queue_items=max_queue_items,
            cost=lambda draft: (draft.writing.num_beams,),
        )
        self.on_outcome: Callable[[Model, bool], object] = ignore
        """Takes a model whose step went well, or not, in the thread that made it."""

    def num_running(self) -> int:
        """Rows that are being written and somebody still waits for."""
        with self._changed:
            jobs = [job for desk in self._running for job in desk.jobs]
        return sum(job.item.writing.num_beams for job in jobs if not job.future.done())

    def _wreck(self, work: Desk) -> Wreck[Draft]:
        # What other models' texts came to in this very step holds.
        turn = Turn(list(work.turn.told), list(work.turn.ended), list(work.turn.again))
        settled = {*turn.again, *(job for job, _ in turn.ended)}
        jobs = [job for job in work.jobs if job not in settled]
        return Wreck(jobs, turn.again, partial(_hand_on, turn))

    def _work(self) -> None:
        desk = Desk()
        with self._changed:
            self._running.add(desk)
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
            if self._is_replaced(desk):
                return False
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


def _hand_on(turn: Turn) -> None:
    """Give pieces and whole texts to whoever waits for them. Within the event loop."""
    for draft, text in turn.told:
        draft.tell(text)
    settle_all(turn.ended)
