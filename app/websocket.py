"""A connection of messages: how long it may take to read and to end.

Knows uvicorn's WebSockets; knows nothing of what the messages say. Imported by the first that opens one."""

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.settings import Settings
from app.unsent import WatchedConnection

_CLOSING_SECONDS = 3.0  # in which a client may end its side, once ours is over


class BoundedWebSocket(WatchedConnection, WebSocketsSansIOProtocol):
    """A WebSocket that ends when its task has, and does not wait without end for a client to read."""

    _end_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._end_timer is not None:
            self._end_timer.cancel()
        super().connection_lost(exc)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Cut the connection soon: a client that never answers to the end would hold it."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._end_timer = self.loop.call_later(_CLOSING_SECONDS, self.transport.abort)


def bounded(settings: Settings) -> type[BoundedWebSocket]:
    """Such connections, within the limits of `settings`."""
    return type("WebSocket", (BoundedWebSocket,), {"send_timeout_seconds": settings.send_timeout_seconds})
