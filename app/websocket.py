"""A connection of messages: how long it may take to read and to end.

Knows uvicorn's WebSockets; knows nothing of what the messages say. Imported by the first that opens one."""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.settings import Settings
from app.unsent import Unsent

_CLOSING_SECONDS = 3.0  # in which a client may end its side, once ours is over


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that ends when its task has, and does not wait without end for a client to read."""

    limits: Settings
    _unsent: Unsent | None = None
    _end_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for what is to be sent."""
        super().connection_made(transport)
        self._unsent = Unsent(transport, self.loop, self.limits.send_timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._unsent is not None:
            self._unsent.forget()
        if self._end_timer is not None:
            self._end_timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read, and not without end."""
        super().pause_writing()
        if self._unsent is not None:
            self._unsent.watch()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        if self._unsent is not None:
            self._unsent.forget()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Cut the connection soon: a client that never answers to the end would hold it."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._end_timer = self.loop.call_later(_CLOSING_SECONDS, self.transport.abort)


def bounded(settings: Settings) -> type[BoundedWebSocket]:
    """Such connections, within the limits of `settings`."""
    return type("WebSocket", (BoundedWebSocket,), {"limits": settings})
