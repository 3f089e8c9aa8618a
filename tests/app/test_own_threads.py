"""Work in threads of its own."""

import asyncio
import gc
import threading
import time
import weakref

import pytest

from app.own_threads import OwnThreads


class Heavy:
    """Stands for a model."""


def test_results_and_errors_come_back() -> None:
    def fail() -> None:
        raise KeyError("what")

    def stop() -> None:
        raise StopIteration

    async def test() -> None:
        threads = OwnThreads()
        assert await threads.run(lambda: threading.current_thread().name, "mine") == "mine"
        with pytest.raises(KeyError, match="what"):
            await threads.run(fail, "mine")
        with pytest.raises(RuntimeError, match="StopIteration"):
            await threads.run(stop, "mine")

    asyncio.run(test())


def test_an_error_does_not_hold_what_failed() -> None:
    seen = []

    def fail() -> None:
        heavy = Heavy()
        seen.append(weakref.ref(heavy))
        raise ValueError("heavy")

    async def test() -> None:
        with pytest.raises(ValueError, match="heavy"):
            await OwnThreads().run(fail, "mine")
        assert seen[0]() is None

    gc.disable()
    try:
        asyncio.run(test())
    finally:
        gc.enable()


@pytest.mark.clock
def test_the_end_waits_for_what_runs_but_not_for_ever() -> None:
    done, over = threading.Event(), threading.Event()

    def slow() -> None:
        time.sleep(0.2)
        done.set()

    async def begin(threads: OwnThreads, work: object) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await threads.run(work, "mine")

    async def test() -> None:
        threads = OwnThreads()
        await begin(threads, slow)
        await threads.close(10)
        assert done.is_set()
        await begin(threads, over.wait)
        await threads.close(0.1)
        assert not over.is_set()

    try:
        asyncio.run(test())
    finally:
        over.set()
