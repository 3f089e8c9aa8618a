"""Who is let into the pipe: nobody who would find no place, or no time. Knows who is inside; does no work."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol

from app.call import Call
from app.refusals import QueueFullError

# Of a request's time, the most that it may be expected to wait: the estimate is a mean over noise, the work itself
# takes its time too, and a shorter queue loses no throughput while there is one.
SHARE_OF_DEADLINE = 0.5


class Queue(Protocol):
    """What a door looks at."""

    def num_waiting(self) -> int:
        """Items in the queue."""

    def num_running(self) -> int:
        """Items that are worked on."""

    def turn_seconds(self, num_ahead: int) -> float:
        """How long an item behind so many would wait."""


class Door:
    """Bounds all queues of a pipe together. Used within the event loop only."""

    def __init__(self, max_waiting_items: int) -> None:
        """Open, with nobody inside."""
        self._max_waiting_items = max_waiting_items
        self._inside: Counter[Hashable] = Counter()
        self.on_refusal: Callable[[], object] = lambda: None
        """Called for each item that is not let in."""

    def check(self, call: Call, main: Queue, *light: Queue, num_items: int = 1) -> None:
        """Refuse an item before it is read, let alone decoded.

        Args:
            call: whose item.
            main: the queue that takes most of the time.
            light: the others.
            num_items: what comes, where that is more than one: the turn of the last one counts.

        Raises:
            QueueFullError: too many wait, or its turn would come too late.
            TimeoutError: its time is over.
        """
        if call.remaining_seconds() <= 0:
            raise TimeoutError
        running = main.num_running()
        waiting = max(0, self._inside.total() - running)
        # Flows take turns, so of a larger one only as many go before this item as its own flow has inside.
        own = self._inside[call.flow] + num_items
        ahead = max(0, sum(min(number, own) for number in self._inside.values()) + num_items - 1 - running)
        wait_seconds = max(
            main.turn_seconds(ahead), *(queue.turn_seconds(min(ahead, queue.num_waiting())) for queue in light)
        )
        if waiting >= self._max_waiting_items or wait_seconds > SHARE_OF_DEADLINE * call.remaining_seconds():
            self.on_refusal()
            raise QueueFullError(wait_seconds)

    @contextmanager
    def entered(self, call: Call, places: int = 1) -> Iterator[None]:
        """Count an item as inside."""
        self._inside[call.flow] += places
        try:
            yield
        finally:
            self._inside[call.flow] -= places
            if not self._inside[call.flow]:
                del self._inside[call.flow]
