"""Heads of requests that are too long, too slow, or no HTTP."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.protocol import bounded
from app.settings import Settings
from tests.hostile.conftest import Target


def answer_to(target: Target, *parts: bytes) -> tuple[int, dict[str, Any]]:
    with socket.create_connection(target.address, timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


LONG = [
    b"GET /" + b"a" * 20_000,
    b"GET / HTTP/1.1\r\nA: " + b"b" * 20_000,
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4000,
]


@pytest.mark.parametrize("endless", LONG)
def test_a_long_head_is_refused(target: Target, endless: bytes) -> None:
    more = endless[-18_000:]
    with socket.create_connection(target.address, timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(endless)
        received = b""
        connection.settimeout(0.05)
        for _ in range(20):
            try:
                received += connection.recv(65_536)
                break
            except TimeoutError:
                connection.sendall(more)
    assert received.startswith(b"HTTP/1.1 431")
    assert b"Send fewer." in received


def test_what_is_no_http_is_told_so(target: Target) -> None:
    status, problem = answer_to(target, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS, say\r\n\r\n")
    assert status == 400
    assert problem["detail"] == "Invalid HTTP request received. Send HTTP/1.1."


def test_a_head_of_many_headers_below_the_limit_is_fine(target: Target) -> None:
    headers = {f"X-{number}": "x" * 100 for number in range(300)}
    assert target.client.post("/predict", json={"text": "red"}, headers=headers).status_code == 200


async def slow_app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def connected(
    config: uvicorn.Config, settings: Settings
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: bounded(settings)(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()
        server.close()


@pytest.mark.clock
@pytest.mark.anyio
async def test_a_slow_head_is_cut_off_and_a_slow_answer_is_not() -> None:
    settings = Settings(head_timeout_seconds=0.2)
    config = uvicorn.Config(slow_app, log_config=None, access_log=False)
    async with connected(config, settings) as (reader, writer):
        assert await reader.read() == b""  # nothing was said, so nothing is answered
    async with connected(config, settings) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHos")
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
    async with connected(config, settings) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


@pytest.mark.clock
@pytest.mark.anyio
async def test_a_connection_too_many_is_told_so_and_the_others_go_on() -> None:
    config, state = uvicorn.Config(slow_app, log_config=None, access_log=False), ServerState()
    kind = bounded(Settings(max_connections=2))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(config, state, {}), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    pairs = [await asyncio.open_connection(*address) for _ in range(2)]
    reader, writer = await asyncio.open_connection(*address)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Too many connections" in answer
    writer.close()
    for reader, writer in pairs:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
    await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection(*address)  # there is room again
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    server.close()
