"""One item that waits or is worked on, and the batch that it is worked on in. Knows futures; knows no queue."""

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(slots=True, eq=False)
class Job(Generic[In, Out]):
    """An item, and who waits for it.

    flow: whom it belongs to; None is nobody else's.
    deadline: by `perf_counter`.
    alone: it must not share a batch.
    queued: seconds that it has waited for its turn, here and in the queues before.
    """

    item: In
    future: "asyncio.Future[tuple[Out, float]]"
    flow: Hashable
    deadline: float
    cost: tuple[int, ...]
    alone: bool = False
    queued: float = 0.0
    arrived: float = field(default_factory=perf_counter)

    def settle(self, result: tuple[Out, float] | Exception) -> None:
        """Answer whoever waits, if anybody still does. Within the event loop."""
        if self.future.done():  # cancelled meanwhile
            return
        if isinstance(result, StopIteration):  # which a future refuses to hold
            result = RuntimeError("an item's work raised StopIteration")
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


@dataclass(slots=True, eq=False)
class Run(Generic[In, Out]):
    """A batch in a worker's hands. Whoever gives it up says so here, and the worker ends when it notices.

    called: when `run` was last called for it, or for a part of it after a failure.
    """

    jobs: list[Job[In, Out]]
    started: float = field(default_factory=perf_counter)
    called: float | None = field(default_factory=perf_counter)
    given_up: bool = False


def as_exception(error: BaseException) -> Exception:
    """What a future can hold: a library in Rust panics with what is no Exception."""
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def settle_all(settled: Sequence[tuple[Job[In, Out], Out | Exception]]) -> None:
    """Answer a whole batch: each job with its result, and the seconds that it was queued."""
    for job, result in settled:
        job.settle(result if isinstance(result, Exception) else (result, job.queued))
