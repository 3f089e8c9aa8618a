"""What comes next is made ready in a thread of its own while the caller computes with what is there.

Knows an order; knows nothing of rows and batches."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 1  # a step takes longer than its loading does, so more would only hold memory

Made = TypeVar("Made")


def prefetched(makers: Iterable[Callable[[], Made]]) -> Generator[Made, None, None]:
    """Yield what each maker gives, in order, while the thread is at work on the next AHEAD of them.

    One thread makes all, one after the other, so makers may share what they change, a random generator say.
    Closing the iterator waits for the one at work and drops the others.

    Raises:
        Exception: what a maker raised, when its turn comes.
    """
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(1, "prefetch")
    try:
        for make in makers:
            waiting.append(pool.submit(make))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
