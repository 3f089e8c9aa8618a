"""Whose turn it is to write: in the order of arrival, and all that wait by then together.

A lock would not do: Python's are unfair, and one busy writer would keep the others out for seconds."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


def _alone() -> None:
    raise RuntimeError("nothing to do")


@dataclass(slots=True, eq=False)
class Waiting:
    """A job, `_alone` for whoever wants to be. called: it is done, or its thread is to lead."""

    job: Callable[..., Any]
    future: Future[Any] = field(default_factory=Future)
    called: threading.Event = field(default_factory=threading.Event)


class Turns:
    """At any time one thread leads. It does the jobs of those behind it as well, and then calls the next one."""

    def __init__(self, most: int) -> None:
        """`most`: jobs that are done together."""
        self._most = most
        self._guard = threading.Lock()
        self._queue: deque[Waiting] = deque()
        self._busy = False
        self._lonely: int | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def do(self, job: Callable[..., Any], together: Callable[[list[Waiting]], None]) -> Any:
        """Have a job done, by this thread or by another one.

        Args:
            job: handed to `together`.
            together: does several jobs, and settles the future of each.
        """
        waiting = Waiting(job)
        self._wait(waiting)
        if not waiting.future.done():  # it leads
            group = self._group()
            try:
                together(group)
            finally:
                self._pass_on(group)
        return waiting.future.result()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No job is done while the block lasts. Within it the same thread may ask for it again."""
        if self._lonely == threading.get_ident():
            yield
            return
        self._wait(Waiting(_alone))
        with self._guard:
            self._queue.popleft()
        self._lonely = threading.get_ident()
        try:
            yield
        finally:
            self._lonely = None
            self._pass_on([])

    def _wait(self, waiting: Waiting) -> None:
        with self._guard:
            self._queue.append(waiting)
            if not self._busy:
                self._busy = True
                waiting.called.set()
        try:
            waiting.called.wait()
        except BaseException:  # Ctrl-C
            self._leave(waiting)
            raise

    def _leave(self, waiting: Waiting) -> None:
        with self._guard:
            if waiting not in self._queue:
                return  # its job is being done
            self._queue.remove(waiting)
            leads = waiting.called.is_set()
        if leads:
            self._pass_on([])

    def _group(self) -> list[Waiting]:
        with self._guard:
            group: list[Waiting] = []
            while self._queue and self._queue[0].job is not _alone and len(group) < self._most:
                group.append(self._queue.popleft())
            return group

    def _pass_on(self, group: list[Waiting]) -> None:
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_exception(RuntimeError("a job was left undone"))
            waiting.called.set()
        with self._guard:
            if self._queue:
                self._queue[0].called.set()
            else:
                self._busy = False
