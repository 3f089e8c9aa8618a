"""What a request brings into the pipe beside its inputs: its clock, its turn, and where its stages are noted."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from time import perf_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request's own.

    record: takes a stage's name and its seconds; see `telemetry.Timings.record`.
    deadline: by `perf_counter`; no work on it begins later.
    flow: the items of one flow take turns with others', so that a large batch starves nobody.
    admitted: the door has let the whole request in, and does not ask again for each of its items.
    """

    record: Callable[[str, float], None]
    deadline: float = math.inf
    flow: Hashable = field(default_factory=object)
    admitted: bool = False

    def remaining_seconds(self) -> float:
        """Until the deadline; negative past it."""
        return self.deadline - perf_counter()

    def timeout_seconds(self) -> float | None:
        """The same for `asyncio.timeout`: None where there is no deadline."""
        return None if math.isinf(self.deadline) else self.remaining_seconds()
