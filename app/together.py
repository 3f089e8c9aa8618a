"""Many items of one request through the pipe: in turn with others', each for itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from app.call import Call
from app.context import Context

T = TypeVar("T")
R = TypeVar("R")


async def together(
    context: Context, items: Sequence[T | Exception], work: Callable[[T, Call], Awaitable[R]]
) -> list[R | Exception]:
    """What `work` gives for each item, or what it raised, in order; an item that is an exception stays one.

    A batch keeps the workers busy without filling the queue for everybody else; let in, it is let in whole.
    """
    pipeline, settings = context.service.pipeline, context.service.settings
    busy = 2 * pipeline.num_workers * settings.max_batch_items
    gate = asyncio.Semaphore(max(1, min(busy, settings.max_queue_items // 4)))
    call = replace(context.call, admitted=True)

    async def one(item: T | Exception) -> R | Exception:
        if isinstance(item, Exception):
            return item
        try:
            async with asyncio.timeout(call.timeout_seconds()), gate, pipeline.room_for_batches:
                return await work(item, call)
        except Exception as error:  # it is this item's answer
            return error

    async with context.while_connected():
        return await asyncio.gather(*map(one, items))
