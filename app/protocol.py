"""A connection: how long a head may be, how much time it and an answer may take, what is told to what is broken.

Knows uvicorn's connections; knows nothing of what is asked. uvicorn itself bounds a head only with its slower
parser, and waits without end: for a head, and for a client that does not read its answer."""

import asyncio
import base64
import binascii
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.intake import BROKEN_BODY
from app.settings import Settings
from app.unsent import WatchedConnection

_HEADER_BYTES = 4  # the colon, the space and the line's end
_WEBSOCKET_VERSION = b"13"  # RFC 6455, 4.2.1
_WEBSOCKET_KEY_BYTES = 16
_LINGER_SECONDS = 2.0  # in which a client that still sends may read why nobody listens; closing would reset it


class _TooLongError(Exception):
    """The head, or the headers behind a body in chunks, have too many bytes."""


class BoundedConnection(WatchedConnection, HttpToolsProtocol):
    """An HTTP connection that is bounded in length and time. Faults of a connection are problems, as elsewhere."""

    limits: Settings
    _head_bytes = 0
    _unended_bytes = 0  # of the head that has not come to its end, as it is on the wire
    _num_ends = 0  # of heads and of messages
    _in_head = True
    _too_long = False
    _head_timer: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None
    _broken = False  # nothing more is read
    _last_word = b""  # what is still to be said, after the answers to earlier requests

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head, if there is room for one more."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self.connections.discard(self)
            self._refuse(503, "Too many connections are open. Use fewer, and keep them open, or try again later.")
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more, and answer nobody: uvicorn tells only the request that came last."""
        self._unset_head_timer()
        self.pipeline.clear()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        if self._broken or self.transport.is_closing():
            return
        num_ends = self._num_ends
        super().data_received(data)
        if not self._in_head or self._num_ends != num_ends or self._broken or self.transport.is_closing():
            return
        self._unended_bytes += len(data)
        if self._unended_bytes > self.limits.max_head_bytes:
            self._refuse_head()
        elif self._head_timer is None:
            self._wait_for_head()

    def on_url(self, url: bytes) -> None:
        """Take the next piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body are dropped, for nobody expects them."""
        self._count(len(name) + len(value) + _HEADER_BYTES)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._num_ends += 1
        self._in_head = False
        self._unset_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Go on to the next head."""
        super().on_message_complete()
        self._num_ends += 1
        self._in_head, self._head_bytes, self._unended_bytes = True, 0, 0

    def on_response_complete(self) -> None:
        """Go on to the next answer."""
        super().on_response_complete()
        self.watch_unsent()
        if self._last_word and not self._answers:
            self._end_with(self._last_word)

    def timeout_keep_alive_handler(self) -> None:
        """Close; what the client has not read by then has its time."""
        super().timeout_keep_alive_handler()
        self.watch_unsent()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or where it stopped being HTTP."""
        if not self._in_head:
            self._break_body(
                "Too many headers follow the body in chunks. Send none."
                if self._too_long
                else "The body in chunks is broken. Begin each with its length in hexadecimal digits."
            )
        elif self._too_long:
            self._refuse_head()
        else:
            self._refuse(400, f"{msg} Send HTTP/1.1.")

    def handle_websocket_upgrade(self) -> None:
        """Hand on to messages, unless the request opens none."""
        fault = _opening_fault(self.scope["method"].encode(), self.headers)
        if fault is None:
            super().handle_websocket_upgrade()
        else:
            self._refuse(400, fault)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _count(self, num_bytes: int) -> None:
        self._head_bytes += num_bytes
        if self._head_bytes > self.limits.max_head_bytes:
            self._too_long = True
            raise _TooLongError  # which ends the parser

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_timeout_seconds, self._late)

    def _late(self) -> None:
        self._head_timer = None
        if self._answers or self.transport.is_closing():
            return
        if self._unended_bytes:
            limit = f"{self.limits.head_timeout_seconds:g} s"
            self._refuse(408, f"The headers did not arrive within {limit}. Send them faster.")
        else:
            self.transport.close()

    @property
    def _answers(self) -> bool:
        """Whether a request of the connection is being answered, or waits for that."""
        return bool(self.pipeline) or (self._answered is not None and not self._answered.response_complete)

    def _unset_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _break_body(self, detail: str) -> None:
        """Let whoever reads the body know (see `intake`), and read no more."""
        self._broken = True
        self.cycle.scope["state"][BROKEN_BODY] = detail
        self.cycle.keep_alive = self.cycle.more_body = False
        self.cycle.transport = _LingeringTransport(self)  # type: ignore[assignment]
        self.cycle.message_event.set()

    def _refuse_head(self) -> None:
        limit = f"{self.limits.max_head_bytes:,} bytes"
        self._refuse(431, f"The request line and headers have more than {limit}. Send fewer.")

    def _refuse(self, status: int, detail: str) -> None:
        """Say what is wrong, after what is still being said, and close."""
        self._broken = True
        title = HTTPStatus(status).phrase
        problem: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        body = json.dumps(problem).encode()
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        word = head.encode() + body
        if self._answers:
            self._last_word = word
        else:
            self._end_with(word)

    def _end_with(self, word: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(word)
            self.linger()

    def linger(self) -> None:
        """Say that no more will come, and close when the client has, or soon."""
        self.watch_unsent()
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)


class _LingeringTransport:
    """What a request whose body broke is answered by: the rest of it may still be under way."""

    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        self._connection.linger()


def _opening_fault(method: bytes, headers: list[tuple[bytes, bytes]]) -> str | None:
    """What is wrong with the request that is to open a WebSocket; None where nothing is."""
    given = dict(headers)
    if method != b"GET":
        return "A WebSocket is opened with GET. Use a client of WebSockets."
    if given.get(b"sec-websocket-version", b"").strip() != _WEBSOCKET_VERSION:
        return "A WebSocket is opened with the header Sec-WebSocket-Version: 13. Use a client of WebSockets."
    try:
        key = base64.b64decode(given.get(b"sec-websocket-key", b"").strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _WEBSOCKET_KEY_BYTES:
        return "A WebSocket is opened with the header Sec-WebSocket-Key: 16 bytes in base64. Use a client of them."
    return None


def bounded(settings: Settings) -> type[BoundedConnection]:
    """Such connections, within the limits of `settings`."""
    return type(
        "Connection",
        (BoundedConnection,),
        {"limits": settings, "send_timeout_seconds": settings.send_timeout_seconds},
    )
