"""Work that may hang, in a thread of its own that keeps neither the event loop nor the process waiting.

`asyncio.to_thread` has a few threads for everybody, and the process waits for each of them when it ends."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_own_thread(work: Callable[[], T], name: str) -> T:
    """Run `work` in a new thread called `name`. A cancelled call leaves it behind, and drops what it gives.

    Raises:
        Exception: whatever `work` raises.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():  # cancelled meanwhile
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only where T is

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # it belongs to the future
            error = RuntimeError("StopIteration") if isinstance(raised, StopIteration) else raised
        with suppress(RuntimeError):  # the loop ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
