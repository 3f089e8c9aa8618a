"""One HTTP/1.1 exchange over a bare asyncio connection: a client library would eat a core."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

ANSWER_SECONDS = 60.0
"""An answer that takes longer is lost."""


class RefusedError(Exception):
    """No connection; nothing was sent."""


class LostError(Exception):
    """The request was sent, and no whole answer came."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole."""

    status: int
    body: bytes


class Connection:
    """A connection that is opened at first use, kept while both sides like, and opened again after that."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> asyncio.StreamWriter:
        """Connect, unless that is done.

        Raises:
            RefusedError: nobody listens, or no connection is accepted.
        """
        if self._writer is not None and self._reader is not None and not self._reader.at_eof():
            return self._writer
        self.close()
        try:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as error:
            raise RefusedError(str(error)) from None
        return self._writer

    async def ask(self, data: bytes) -> Reply:
        """Send a request on an open connection and read its answer.

        Raises:
            LostError: the connection broke or stalled before the answer's end.
        """
        if self._reader is None or self._writer is None:
            raise ValueError("open the connection first")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._writer.write(data)
                return await self._read(self._reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.close()
            raise LostError(repr(error)) from None

    async def leave(self, data: bytes, after_seconds: float) -> None:
        """Send a request and break the connection a moment later."""
        writer = await self.open()
        writer.write(data)
        await asyncio.sleep(after_seconds)
        writer.transport.abort()
        self.close()

    def close(self) -> None:
        """Close; the next `open` connects again."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
        self._reader = self._writer = None

    async def _read(self, reader: asyncio.StreamReader) -> Reply:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        fields = dict(line.split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            body = await self._chunks(reader)
        else:
            body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        if b"close" in fields.get(b"connection", b""):
            self.close()
        return Reply(int(head.split(b" ", 2)[1]), body)

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        parts = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        return b"".join(parts)
