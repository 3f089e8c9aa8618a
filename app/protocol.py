"""The head of a request: how long it may be, how much time it may take, and what a broken one is told.

Knows uvicorn's connections; knows nothing of what is asked. uvicorn itself bounds a head only with its slower
parser, and waits for one without end."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
"""Request line and headers."""

HEAD_SECONDS = 10.0
"""From the connection's start, or the head's first byte, to its end."""


class HeadLimits(HttpToolsProtocol):
    """An HTTP connection whose heads are bounded in length and time. Faults in one are problems, as elsewhere."""

    max_connections: int | None = None
    _head_bytes = 0
    _num_ends = 0  # of heads and of messages
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head, if there is room for one more."""
        super().connection_made(transport)
        if self.max_connections is not None and len(self.connections) > self.max_connections:
            self._refuse(503, "Too many connections are open. Use fewer, and keep them open, or try again later.")
            return
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._unset_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        num_ends = self._num_ends
        super().data_received(data)
        if not self._in_head or self._num_ends != num_ends or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"The request line and headers have more than {MAX_HEAD_BYTES:,} bytes. Send fewer.")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._late)

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
        self._in_head, self._head_bytes = True, 0

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, f"{msg} Send HTTP/1.1.")

    def _late(self) -> None:
        self._head_timer = None
        if self._answers or self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(408, f"The headers did not arrive within {HEAD_SECONDS:g} s. Send them faster.")
        else:
            self.transport.close()

    @property
    def _answers(self) -> bool:
        """Whether an earlier request of the connection is still being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _unset_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, detail: str) -> None:
        if self._answers:  # in whose middle nothing else can be said
            self.transport.close()
            return
        title = HTTPStatus(status).phrase
        problem: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        body = json.dumps(problem).encode()
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def bounded(limit: int) -> type[HeadLimits]:
    """Such connections, of which at most `limit` are open at once."""
    return type("BoundedConnections", (HeadLimits,), {"max_connections": limit})
