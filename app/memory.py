"""Freed memory, given back to the system: what a model leaves behind, and what reading one took."""

import asyncio
import ctypes
import gc
import sys
import weakref
from collections.abc import Iterable
from typing import Any

_PATIENCE_SECONDS = (0.5, 2.0, 10.0, 60.0)  # for requests that still use what is gone: most are over by the first
_COLLECT_AFTER_SECONDS = 10.0  # by then something holds it in a cycle


async def give_back(gone: Iterable[weakref.ref[Any]]) -> None:
    """Wait until nobody uses what is `gone`, then return freed memory to the system."""
    left = list(gone)
    for seconds in _PATIENCE_SECONDS:
        await asyncio.sleep(seconds)
        if seconds >= _COLLECT_AFTER_SECONDS:
            await asyncio.to_thread(gc.collect)
        if all(reference() is None for reference in left):
            await asyncio.to_thread(trim)
            return


def settle() -> None:
    """Collect garbage from now on, but not among what the start has made: it stays, and takes long to look at."""
    gc.freeze()
    gc.enable()


def trim() -> None:
    """Have the C library return what it keeps of freed memory; tens of milliseconds after a model."""
    if sys.platform != "linux":
        return
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if malloc_trim is not None:
        malloc_trim(0)
