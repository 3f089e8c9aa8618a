"""What one batch may be, and for how many items there was memory."""

import threading
from dataclasses import dataclass

_BATCHES_THAT_WENT_WELL = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """What one batch may be.

    items: at most.
    cost: at most, by kind of cost (say, pixels and tokens); an item that costs more than that goes alone.
    linger_seconds: how long the first item of a batch waits for others, where the rate of arrivals promises some.
    """

    items: int
    cost: tuple[int, ...] = ()
    linger_seconds: float = 0.0


class Shrunk:
    """A limit that falls at once and comes back slowly: what took the memory may have been a neighbour's burst."""

    def __init__(self, most: int) -> None:
        """Begin with the whole limit."""
        self._most = most
        self._good = 0
        self._lock = threading.Lock()
        self.items = most

    def to(self, items: int) -> None:
        """So many fit, as far as is known."""
        with self._lock:
            self.items, self._good = max(1, min(items, self.items)), 0

    def went_well(self) -> None:
        """A batch found its memory; after a hundred in a row, twice as many are tried."""
        if self.items == self._most:
            return
        with self._lock:
            self._good += 1
            if self._good >= _BATCHES_THAT_WENT_WELL:
                self.items, self._good = min(self._most, 2 * self.items), 0
