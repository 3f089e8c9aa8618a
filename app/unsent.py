"""What a client does not read: it waits in memory, and not without end.

Knows a transport; knows nothing of HTTP."""

import asyncio
import socket
import struct
import sys
from typing import Any

PIECE_BYTES = 65_536
"""What a client must take in the time that it has."""

_LOOKS = 10  # in that time: who reads at all has the buffer empty at one of them
_BYTES_ACKED = struct.Struct("=120xQ")  # linux/tcp.h, struct tcp_info, since Linux 4.1


class Unsent:
    """Looks at the buffer while something is in it, and cuts off a client that takes too little of it."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limit_seconds: float
    ) -> None:
        """Look at nothing yet.

        Args:
            transport: where an answer is written to.
            loop: of the transport.
            limit_seconds: in which PIECE_BYTES must be taken, or all that is left.
        """
        self._transport = transport
        self._loop = loop
        self._limit_seconds = limit_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._goal_bytes = 0
        self._end = 0.0

    def watch(self) -> None:
        """Begin to look, where there is something to look at."""
        if self._timer is None and self._transport.get_write_buffer_size():
            self._aim(self._taken_bytes())
            self._look_later()

    def forget(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _aim(self, taken_bytes: int) -> None:
        self._goal_bytes = taken_bytes + PIECE_BYTES
        self._end = self._loop.time() + self._limit_seconds

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._limit_seconds / _LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._transport.get_write_buffer_size():
            return
        if (taken := self._taken_bytes()) >= self._goal_bytes:
            self._aim(taken)
        elif self._loop.time() >= self._end:
            self._transport.abort()
            return
        self._look_later()

    def _taken_bytes(self) -> int:
        """What the client has acknowledged.

        The buffer tells less: the kernel holds megabytes, and takes more only when a third of them is gone.
        """
        if sys.platform != "linux":
            return -self._transport.get_write_buffer_size()
        found = self._transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size
        )
        return int(_BYTES_ACKED.unpack(found)[0]) if len(found) == _BYTES_ACKED.size else 0


class WatchedConnection(asyncio.Protocol):
    """A connection that is cut off where its client does not read. Stands before uvicorn's own among the bases."""

    loop: asyncio.AbstractEventLoop
    send_timeout_seconds: float
    _unsent: Unsent | None = None

    def connection_made(self, transport: Any) -> None:
        """Look at what is written from now on, where there is something to look at."""
        super().connection_made(transport)
        self._unsent = Unsent(transport, self.loop, self.send_timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._unsent is not None:
            self._unsent.forget()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read, and not without end."""
        super().pause_writing()
        self.watch_unsent()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        if self._unsent is not None:
            self._unsent.forget()

    def watch_unsent(self) -> None:
        """Give the client its time for what it has not read by now."""
        if self._unsent is not None:
            self._unsent.watch()
