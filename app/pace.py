"""How fast items come and go, as measured: what a queue's waits and refusals are computed from."""

import math

_MEMORY = 0.9  # share of an old estimate that a new measurement leaves
_LONGEST_GAP_SECONDS = 1.0  # after a night without requests, not the night


class Pace:
    """Moving averages that forget. Not locked: whoever shares one holds a lock of its own."""

    def __init__(self) -> None:
        self._seconds_per_item = 0.0
        self._seconds_between = math.inf
        self._last_arrival = -math.inf

    def arrived(self, now: float) -> None:
        """An item came."""
        gap = min(now - self._last_arrival, _LONGEST_GAP_SECONDS)
        self._seconds_between = gap if math.isinf(self._seconds_between) else _blend(self._seconds_between, gap)
        self._last_arrival = now

    def worked(self, num_items: int, seconds: float) -> None:
        """A worker spent `seconds` on a batch."""
        per_item = seconds / num_items
        self._seconds_per_item = _blend(self._seconds_per_item, per_item) if self._seconds_per_item else per_item

    def turn_seconds(self, num_ahead: int, num_workers: int) -> float:
        """How long an item behind so many waits for its turn; 0 before anything was measured."""
        return self._seconds_per_item * num_ahead / num_workers

    def patience_seconds(self, missing: int, limit_seconds: float) -> float:
        """How long to wait until `missing` more should have come; not at all where the next comes too late."""
        if missing <= 0 or self._seconds_between > limit_seconds:
            return 0.0
        return min(limit_seconds, missing * self._seconds_between)


def _blend(old: float, new: float) -> float:
    return _MEMORY * old + (1 - _MEMORY) * new
