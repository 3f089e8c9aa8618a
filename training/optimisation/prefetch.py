"""What comes next is made ready in a thread of its own while the caller computes with what is there.

Knows an order; knows nothing of rows and batches."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from models.cores import usable_cores

AHEAD = 1  # a step takes longer than its loading does, so more would only hold memory

Made = TypeVar("Made")


def steps_ahead(device: torch.device) -> int:
    """AHEAD where something else than the CPU computes, or the CPU has a core to spare; else 0.

    Where operators use every core, a thread beside theirs costs more than it hides: their threads wait for one
    another at the end of each loop, so the one that shares its core holds up all. On two cores a step of a small
    network took twice as long (`benchmarks/training_speed.py`).
    """
    spare = torch.get_num_threads() < usable_cores()
    return AHEAD if device.type != "cpu" or spare else 0


def prefetched(makers: Iterable[Callable[[], Made]], ahead: int = AHEAD) -> Generator[Made, None, None]:
    """Yield what each maker gives, in order, while the thread is at work on the next `ahead` of them.

    With none ahead, the caller makes each when its turn comes. Either way one thread makes all, one after the
    other, so makers may share what they change, a random generator say. Closing the iterator waits for the one
    at work and drops the others.

    Raises:
        Exception: what a maker raised, when its turn comes.
    """
    if not ahead:
        yield from (make() for make in makers)
        return
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(1, "prefetch")
    try:
        for make in makers:
            waiting.append(pool.submit(make))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
