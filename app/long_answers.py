"""Answers on their way out: in pieces, each when the client has taken the one before, and so many bytes at once.

A client that does not read would otherwise have the whole of a large file wait in memory; a thousand such, a
thousand files. Pure ASGI, and within the telemetry, which is to see what is answered in place of what."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import problem_response
from app.refusals import QueueFullError

PIECE_BYTES = 65_536

_RETRY_AFTER_SECONDS = 1  # until others have taken theirs


class LongAnswerMiddleware:
    """Sends what is longer than PIECE_BYTES in pieces, and refuses (429) where too much of it is under way."""

    def __init__(self, app: ASGIApp, max_pending_bytes: int) -> None:
        self.app = app
        self._max_pending_bytes = max_pending_bytes
        self._num_pending_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        held_bytes, refused = 0, False

        async def send_in_pieces(message: Message) -> None:
            nonlocal held_bytes, refused
            if message["type"] == "http.response.start":
                length = int(MutableHeaders(scope=message).get("content-length", "0"))
                held_bytes = length if length > PIECE_BYTES and scope["method"] != "HEAD" else 0
                refused = held_bytes > 0 and not self._has_room(held_bytes)
                held_bytes = 0 if refused else held_bytes
                self._num_pending_bytes += held_bytes
                if refused:
                    error = QueueFullError(_RETRY_AFTER_SECONDS)
                    await problem_response(error, scope["state"]["request_id"], scope)(scope, receive, send)
                    return
            if refused:
                return
            body = message.get("body", b"")
            if len(body) <= PIECE_BYTES:
                await send(message)
                return
            for start in range(0, len(body), PIECE_BYTES):
                end = start + PIECE_BYTES
                more = end < len(body) or message.get("more_body", False)
                await send({"type": "http.response.body", "body": body[start:end], "more_body": more})

        try:
            await self.app(scope, receive, send_in_pieces)
        finally:
            self._num_pending_bytes -= held_bytes

    def _has_room(self, num_bytes: int) -> bool:
        """A single answer is let through, however long it is."""
        return not self._num_pending_bytes or self._num_pending_bytes + num_bytes <= self._max_pending_bytes
