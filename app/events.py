"""Work that is told of while it goes on, as server-sent events (WHATWG HTML, 9.2).

    data: {"text": " a dog"}         what is new, again and again
    event: done                      and the whole
    event: error                     and a problem, in its place

Knows how events are written and when a connection needs one; knows nothing of what they tell."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.refusals import ClosedError

EVENTS = "text/event-stream"
_HEADERS = {
    # A proxy that gathers or packs what comes through would hold the first words back.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
_KEEP_ALIVE = b": keep-alive\n\n"
_LOOK_SECONDS = 0.25  # how often a stream that is silent looks whether the service stops

Hear = Callable[[str], None]


def event(data: dict[str, Any], name: str | None = None) -> bytes:
    """One event, on one line of JSON in ASCII: nothing in it can end it."""
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {json.dumps(data)}\n\n".encode("ascii")


class EventStream:
    """Runs work in a task of its own and gives its events. Whoever makes one closes it."""

    def __init__(
        self,
        work: Callable[[Hear], Awaitable[dict[str, Any]]],
        *,
        problem: Callable[[Exception], dict[str, Any]],
        keep_alive_seconds: float,
        seconds_to_stop: Callable[[], float | None],
    ) -> None:
        """Begin.

        Args:
            work: gives the whole, and meanwhile each piece to what it is called with.
            problem: what is told of an exception of the work.
            keep_alive_seconds: silence before a comment.
            seconds_to_stop: how long the service gives what it still does, None while it does not stop.
        """
        self._pieces: list[str] = []
        self._news = asyncio.Event()
        self._over = False
        self._task = asyncio.ensure_future(work(self._hear))
        self._task.add_done_callback(self._end)
        self._problem = problem
        self._keep_alive_seconds = keep_alive_seconds
        self._seconds_to_stop = seconds_to_stop
        self._first: bytes | None = None
        self._stop_at = math.inf

    async def begin(self) -> None:
        """Wait for the first event, or for so long that a connection needs a sign.

        Raises:
            Exception: what the work raises before that: it can still be answered with a status.
        """
        try:
            self._first = await self._next()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the work, if it still goes on."""
        self._task.cancel()

    async def events(self) -> AsyncIterator[bytes]:
        """All of them."""
        try:
            yield self._first or await self._next()
            while not self._over:
                yield await self._next()
        except Exception as error:  # the answer has begun, and cannot have another status
            yield event(self._problem(error), "error")

    def _hear(self, piece: str) -> None:
        self._pieces.append(piece)
        self._news.set()

    def _end(self, task: "asyncio.Future[dict[str, Any]]") -> None:
        if not task.cancelled():
            task.exception()  # seen: whoever hung up does not ask for it
        self._news.set()

    async def _next(self) -> bytes:
        """The next event: all pieces that are there, the whole, or a comment. Raises what the work raised."""
        silent_until = perf_counter() + self._keep_alive_seconds
        while True:
            if (seconds := self._seconds_to_stop()) is not None:
                self._stop_at = min(self._stop_at, perf_counter() + seconds)
            if perf_counter() > self._stop_at and not self._task.done():
                raise ClosedError()
            if self._pieces:
                text = "".join(self._pieces)
                self._pieces.clear()
                return event({"text": text})
            if self._task.done():
                self._over = True
                return event(self._task.result(), "done")
            if perf_counter() > silent_until:
                return _KEEP_ALIVE
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._news.wait()


class EventResponse(StreamingResponse):
    """Sends a stream's events; whoever hangs up, however early, ends its work."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__(stream.events(), headers=_HEADERS, media_type=EVENTS)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()
