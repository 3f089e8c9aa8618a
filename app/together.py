"""Many items of one request through the pipe: in turn with others', each for itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from app.call import Call
from app.context import Context
from models.errors import InputError

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


async def all_or_none(
    context: Context,
    items: Sequence[T],
    work: Callable[[T, Call], Awaitable[R]],
    named: Callable[[InputError, int], InputError],
) -> list[R]:
    """What `work` gives for each item, in order. One item alone goes as a request of one does.

    Args:
        context: of the request.
        items: at least one.
        work: on an item.
        named: makes of an item's error and its row, from 0, one that says where it is.

    Raises:
        Exception: what `work` raised of the first item that failed, once all have ended.
    """
    found: list[R | Exception]
    if len(items) > 1:
        found = await together(context, items, work)
    else:
        try:
            async with context.while_connected():
                found = [await work(items[0], context.call)]
        except InputError as error:
            found = [error]
    return [_unless_failed(result, row, named) for row, result in enumerate(found)]


def _unless_failed(result: R | Exception, row: int, named: Callable[[InputError, int], InputError]) -> R:
    if isinstance(result, InputError):
        raise named(result, row)
    if isinstance(result, Exception):
        raise result
    return result
