"""One stream of requests: messages in, an answer to each in their order. Knows no socket.

One request is answered at a time. Where more come than are answered, the newest matter: the oldest that waits is
refused unseen, which is told in its turn. So what is answered is never older than the requests that may wait,
however slow the machine."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.frame_payload import Message, read_message
from app.refusals import OvertakenError
from app.settings import Settings

MAX_UNANSWERED = 256
"""With those that are refused already. Beyond, no message is read: the client's own buffers fill."""

Answer = Callable[[Message | Exception, str | int | None], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class _Entry:
    id: str | int | None
    request: Message | Exception
    num_bytes: int = 0


class RequestStream:
    """Answers one stream. `take` and `run` are of the same event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        waiting: int,
        answer: Answer,
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Begin.

        Args:
            settings: limits on a message, and on the bytes that wait: a stream's share of what all bodies may.
            waiting: requests that may wait beside the one that is being answered.
            answer: what is said to a message, or to what was wrong with it; raises nothing.
            send: takes each answer.
        """
        self._settings, self._waiting = settings, waiting
        self._max_waiting_bytes = settings.max_pending_bytes // settings.max_streams
        self._answer, self._send = answer, send
        self._entries: deque[_Entry] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._over = self._busy = False
        self.num_messages = self.num_overtaken = 0

    async def take(self, received: Mapping[str, Any]) -> bool:
        """Take one message; whether it says that no more comes. A faulty one is answered as such."""
        try:
            message = read_message(received, self._settings)
            if message.is_end:
                return True
            num_bytes = len(received.get("text") or received.get("bytes") or b"")
            entry = _Entry(message.id, message, num_bytes)
        except Exception as error:  # it is this message's answer
            entry = _Entry(None, error)
        self.num_messages += 1
        self._entries.append(entry)
        self._overtake()
        self._news.set()
        while len(self._entries) >= MAX_UNANSWERED:
            self._room.clear()
            await self._room.wait()
        return False

    def end(self) -> None:
        """No more comes."""
        self._over = True
        self._news.set()

    async def run(self) -> None:
        """Answer until the stream is over and all that came is answered. Raises what `send` raises."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._entries:
                entry = self._entries.popleft()
                self._room.set()
                self._busy = True
                await self._send(await self._answer(entry.request, entry.id))
                self._busy = False
            if self._over:
                return

    def _overtake(self) -> None:
        requests = [entry for entry in self._entries if isinstance(entry.request, Message)]
        most = self._waiting + (not self._busy)  # the next one is as good as begun
        num_bytes = sum(entry.num_bytes for entry in requests)
        while len(requests) > most or (num_bytes > self._max_waiting_bytes and len(requests) > 1):
            oldest = requests.pop(0)
            num_bytes -= oldest.num_bytes
            oldest.request = OvertakenError()
            self.num_overtaken += 1
