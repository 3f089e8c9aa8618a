"""Why an item was not worked on, or not to its end."""

import math


class QueueFullError(Exception):
    """More waits than may, or than can be done in time.

    retry_after_seconds: when to come back, in whole seconds.
    """

    def __init__(self, wait_seconds: float) -> None:
        """`wait_seconds`: until what waits now should be done, as measured."""
        self.retry_after_seconds = max(1, math.ceil(wait_seconds))
        super().__init__(f"The queue is full. Try again in {self.retry_after_seconds} s.")


class ClosedError(Exception):
    """The service is stopping and takes no more items."""

    def __init__(self) -> None:
        super().__init__("The service is stopping. Send the request to another replica, or again later.")


class StuckError(Exception):
    """An item's work did not end, and was given up."""

    def __init__(self, limit_seconds: float) -> None:
        super().__init__(f"The work on this input did not end in {limit_seconds:g} s, and was given up.")
