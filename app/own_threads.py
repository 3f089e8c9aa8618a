"""Work that may hang, each in a thread of its own: nobody waits for it for ever, not even the process's end.

`asyncio.to_thread` has a few threads for everybody, and the process waits for each of them when it ends."""

import asyncio
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")


class OwnThreads:
    """Threads that somebody began and may have given up."""

    def __init__(self) -> None:
        self._running: set[threading.Thread] = set()

    async def run(self, work: Callable[[], T], name: str) -> T:
        """Run `work` in a new thread called `name`. A cancelled call leaves it behind, and drops what it gives.

        Raises:
            Exception: whatever `work` raises; what its frames held is let go of.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        thread = threading.Thread(target=self._work, args=(work, loop, future), name=name, daemon=True)
        self._running.add(thread)
        try:
            thread.start()
        except RuntimeError:  # no more threads may be had
            self._running.discard(thread)
            raise
        try:
            return await future
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # else it holds them, and they hold it, until collected
            raise
        finally:
            del future

    async def close(self, seconds: float) -> None:
        """Give what runs so long to end: a thread that Python stops within C++ ends the process with SIGABRT."""
        end = perf_counter() + seconds
        for thread in list(self._running):
            await asyncio.to_thread(thread.join, max(0.0, end - perf_counter()))

    def _work(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop, future: "asyncio.Future[T]") -> None:
        try:
            settle = _result(future, work())
        except BaseException as error:  # it belongs to the future; a library in Rust panics with no Exception
            settle = _error(future, error if isinstance(error, Exception) else RuntimeError(repr(error)))
        self._running.discard(threading.current_thread())
        with suppress(RuntimeError):  # the loop ended meanwhile
            loop.call_soon_threadsafe(settle)


def _result(future: "asyncio.Future[T]", result: T) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_result(result)  # done: cancelled meanwhile


def _error(future: "asyncio.Future[T]", error: Exception) -> Callable[[], None]:
    if isinstance(error, StopIteration):  # which a future refuses to hold
        error = RuntimeError("StopIteration")
    return lambda: None if future.done() else future.set_exception(error)
