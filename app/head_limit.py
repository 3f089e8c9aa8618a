"""Connections to a host that nobody vouches for: what it may send before its answer begins is bounded.

Without this, early hints (103) without end would be parsed, 64 kB of them without a pause, until the deadline."""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

MAX_HEAD_BYTES = 32_768
_READ_BYTES = 4096  # at once, so that others have their turn


class HeadLimit(httpcore.AsyncNetworkBackend):
    """For one connection: a few bytes at a time, up to a limit, until it is lifted."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()
        self._left_bytes: int | None = MAX_HEAD_BYTES

    def lift(self) -> None:
        """The head is here; the body has limits of its own."""
        self._left_bytes = None

    def allowance(self, max_bytes: int) -> int:
        """How many bytes may be read now.

        Raises:
            RemoteProtocolError: no more.
        """
        if self._left_bytes is None:
            return max_bytes
        if self._left_bytes <= 0:
            raise httpcore.RemoteProtocolError("the head is too long")
        return min(max_bytes, _READ_BYTES)

    def spend(self, num_bytes: int) -> None:
        """Count what was read."""
        if self._left_bytes is not None:
            self._left_bytes -= num_bytes

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect, without any lookup: `host` is an address."""
        return _Stream(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options), self)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, limit: HeadLimit) -> None:
        self._stream = stream
        self._limit = limit

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self._stream.read(self._limit.allowance(max_bytes), timeout)
        self._limit.spend(len(data))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._limit)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
