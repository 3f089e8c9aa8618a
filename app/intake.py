"""What comes in beyond what is wanted: bodies that are refused before they were read, and many at once.

An early answer is sent at once and in full; only then is the rest of the body read and dropped, up to a bound. A
connection that is closed while the client still sends is reset, and many clients then report an error of the
network and never read the answer. Pure ASGI, and outermost, so that no clock of ours runs meanwhile."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import MalformedError
from app.refusals import QueueFullError
from app.settings import Settings

BROKEN_BODY = "broken_body"
"""In a request's state: why its body ends before its end, as the connection has found."""

_SMALL_BYTES = 65_536  # a rest that the server may skip itself, so that the connection is kept
_RETRY_AFTER_SECONDS = 1  # until others' bodies are answered


class IntakeMiddleware:
    """Bounds the bytes of all bodies that are held at once, and drains what nobody wants.

    Raises, from the `receive` that it hands on:
        QueueFullError: more bytes than `max_pending_bytes` are held.
        MalformedError: the body is broken.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings
        self._max_pending_bytes = max(settings.max_pending_bytes, settings.max_body_bytes)
        self._num_pending_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http" or (declared := _declared_bytes(scope["headers"])) == 0:
            await self.app(scope, receive, send)
            return
        body = _Body(receive, declared)
        answer = _Answer(send, body)

        async def bounded() -> Message:
            message = await body.receive()
            self._num_pending_bytes += len(message.get("body", b""))
            if self._num_pending_bytes > self._max_pending_bytes:
                raise QueueFullError(_RETRY_AFTER_SECONDS)
            if body.ended and (fault := scope.get("state", {}).get(BROKEN_BODY)):
                raise MalformedError(fault)
            return message

        try:
            await self.app(scope, bounded, answer.send)
        finally:
            self._num_pending_bytes -= body.num_bytes
        if answer.held_open:
            if not any(name == b"expect" for name, _ in scope["headers"]):  # which waits to be told to send
                await body.drain(self._settings.max_drained_bytes, self._settings.drain_timeout_seconds)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _declared_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The body's length; 0 for none, None where it comes in chunks."""
    declared = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            declared = int(value)
    return declared


class _Body:
    """A request's body, on its way in."""

    def __init__(self, receive: Receive, declared_bytes: int | None) -> None:
        self._receive = receive
        self._declared_bytes = declared_bytes
        self.num_bytes = 0
        self.ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.num_bytes += len(message.get("body", b""))
        self.ended = not message.get("more_body", False)  # or the client is gone
        return message

    @property
    def has_much_left(self) -> bool:
        """Whether more is to come than is worth keeping the connection for."""
        if self.ended:
            return False
        return self._declared_bytes is None or self._declared_bytes - self.num_bytes > _SMALL_BYTES

    async def drain(self, max_bytes: int, limit_seconds: float) -> None:
        """Read and drop the rest, up to a bound."""
        end = self.num_bytes + max_bytes
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                while not self.ended and self.num_bytes < end:
                    await self.receive()


class _Answer:
    """Sends an answer; where much of the body is still to come, holds its end back."""

    def __init__(self, send: Send, body: _Body) -> None:
        self._send = send
        self._body = body
        self._early = False
        self.held_open = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # Without a length, the client would wait for the end that is held back.
            self._early = self._body.has_much_left and "content-length" in MutableHeaders(scope=message)
            if self._early:
                MutableHeaders(scope=message)["Connection"] = "close"
        elif self._early and not message.get("more_body", False):
            self.held_open = True
            message = {**message, "more_body": True}
        await self._send(message)
