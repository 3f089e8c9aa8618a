"""Why something asked for is not done: by whoever does the work, in words that HTTP is translated from."""

import math


class QueueFullError(Exception):
    """More waits than may, or than can be done in time.

    retry_after_seconds: when to come back, in whole seconds.
    """

    def __init__(self, wait_seconds: float, what: str = "The queue is full") -> None:
        """`wait_seconds`: until what waits now should be done, as measured. `what`: is too much."""
        self.retry_after_seconds = max(1, math.ceil(wait_seconds))
        super().__init__(f"{what}. Try again in {self.retry_after_seconds} s.")


class OvertakenError(Exception):
    """A newer message of the same stream came before this one's turn."""

    def __init__(self) -> None:
        super().__init__(
            "Newer messages came before this one's turn, so it was not looked at. Send fewer, or let more wait."
        )


class ClosedError(Exception):
    """The service is stopping and takes no more items."""

    def __init__(self) -> None:
        super().__init__("The service is stopping. Send the request to another replica, or again later.")


class StuckError(Exception):
    """An item's work did not end, and was given up."""

    def __init__(self, limit_seconds: float) -> None:
        super().__init__(f"The work on this input did not end in {limit_seconds:g} s, and was given up.")


class NotFoundError(Exception):
    """No such model, version, gallery or item. The message names those that there are."""


class ConflictError(Exception):
    """What is asked for does not go with what is there: a broken version, the last one of the default model."""
