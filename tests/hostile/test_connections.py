"""Connections that break off, send ahead, or do not read: told what is wrong where they can be, and none stays."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.protocol import bounded
from app.settings import Settings
from app.websocket import bounded as bounded_stream
from tests.fakes import make_service, serving
from tests.hostile.conftest import Target

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"text": "red"}'
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def exchange(address: tuple[str, int], *parts: bytes) -> list[tuple[int, dict[str, Any]]]:
    """What is answered to bytes that are sent as they are: status and body of each answer."""
    with socket.create_connection(address, timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.01)
        rest = b"".join(iter(lambda: connection.recv(65_536), b""))
    answers = []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        lines = (line.partition(b": ") for line in head.split(b"\r\n"))
        [length] = [int(value) for name, _, value in lines if name.lower() == b"content-length"]
        answers.append((int(head.split()[1]), json.loads(rest[:length])))
        rest = rest[length:]
    return answers


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-5\r\nabcde\r\n", b"5\r\nabcdefgh\r\n", b"f" * 20 + b"\r\nabc"])
@pytest.mark.parametrize("path", ["/predict", "/search", "/predict/batch", "/classify", "/nowhere"])
def test_a_broken_chunk_is_a_problem_of_its_request(target: Target, path: str, chunk: bytes) -> None:
    request = CHUNKED.replace(b"/predict", path.encode())
    [(status, problem)] = exchange(target.address, request, chunk)
    if path == "/nowhere":  # where no body is read
        assert status == 404
    else:
        assert status == 400
        assert problem["detail"].startswith("The body in chunks is broken. Begin each with its length")
        assert problem["request_id"]


def test_a_body_in_chunks_with_extensions_and_a_header_behind_it_is_read(target: Target) -> None:
    body = b"5;a=b\r\n" + BODY[:5] + b"\r\n%x\r\n" % len(BODY[5:]) + BODY[5:] + b"\r\n0\r\nX-Sum: 1\r\n\r\n"
    closing = CHUNKED.replace(b"Host", b"Connection: close\r\nHost")
    [(status, answer)] = exchange(target.address, closing + body)
    assert (status, answer["modalities_used"]) == (200, ["text"])


def test_headers_behind_a_body_are_bounded_too(target: Target) -> None:
    body = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n" + b"A: b\r\n" * 20_000 + b"\r\n"
    [(status, problem)] = exchange(target.address, CHUNKED + body)
    assert (status, problem["detail"]) == (400, "Too many headers follow the body in chunks. Send none.")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health/live?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 12_000 + b"\r\n",
    ],
)
def test_a_long_head_in_one_piece_is_refused(target: Target, head: bytes) -> None:
    [(status, problem)] = exchange(target.address, head)
    assert status == 431
    assert problem["detail"] == "The request line and headers have more than 65,536 bytes. Send fewer."


def test_what_was_asked_before_a_broken_head_is_answered_first(target: Target) -> None:
    answers = exchange(target.address, GOOD + GOOD + b"no request\r\n\r\n")
    assert [status for status, _ in answers] == [200, 200, 400]
    answers = exchange(target.address, GOOD + CHUNKED + b"zz\r\n")
    assert [status for status, _ in answers] == [200, 400]


@pytest.mark.clock
@pytest.mark.parametrize("reset", [False, True])
def test_clients_that_send_ahead_and_leave_are_no_fault_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reset: bool
) -> None:
    settings = Settings()
    with serving(settings, lambda settings: make_service(tmp_path, settings)) as client:
        address = (client.base_url.host, client.base_url.port or 80)
        for number in range(20):
            with socket.create_connection(address) as connection:
                connection.sendall(GOOD * 20)
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                time.sleep(0.003 * (number % 5))
        time.sleep(0.3)
        assert client.post("/predict", json={"text": "red"}).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def large_app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    pieces = 400
    length = b"%d" % (pieces * 65_536)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for number in range(pieces):
        await send({"type": "http.response.body", "body": bytes(65_536), "more_body": number + 1 < pieces})


OPENING = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def large_stream(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    for _ in range(400):
        await send({"type": "websocket.send", "bytes": bytes(65_536)})


@asynccontextmanager
async def connected(
    app: Any, settings: Settings, window_bytes: int = 4096
) -> AsyncIterator[tuple[ServerState, socket.socket]]:
    """A client that takes little at once, and the connections that the server has."""
    config = uvicorn.Config(app, log_config=None, access_log=False, ws=bounded_stream(settings))
    state, kind, loop = ServerState(), bounded(settings), asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(config, state, {}), "127.0.0.1", 0)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    client.setblocking(False)
    await loop.sock_connect(client, server.sockets[0].getsockname())
    try:
        yield state, client
    finally:
        client.close()
        server.close()


@pytest.mark.clock
@pytest.mark.anyio
@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
async def test_a_client_that_does_not_read_is_cut_off(close: bytes) -> None:
    async with connected(large_app, Settings(send_timeout_seconds=0.5)) as (state, client):
        await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n")
        await asyncio.sleep(0.3)
        assert len(state.connections) == 1
        await asyncio.sleep(1)
        assert not state.connections
        assert not state.tasks


@pytest.mark.clock
@pytest.mark.anyio
async def test_a_client_that_does_not_read_its_stream_is_cut_off() -> None:
    async with connected(large_stream, Settings(send_timeout_seconds=0.5)) as (state, client):
        await asyncio.get_running_loop().sock_sendall(client, OPENING)
        await asyncio.sleep(0.3)
        assert len(state.connections) == len(state.tasks) == 1
        await asyncio.sleep(1)
        assert not state.connections
        assert not state.tasks


@pytest.mark.clock
@pytest.mark.anyio
async def test_a_client_that_reads_slowly_gets_all_of_it() -> None:
    loop, received = asyncio.get_running_loop(), 0
    async with connected(large_app, Settings(send_timeout_seconds=0.5), 100_000) as (_, client):
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        began = loop.time()
        while data := await loop.sock_recv(client, 400_000):
            received += len(data)
            await asyncio.sleep(0.004)
        assert loop.time() - began > 0.8
    assert received > 400 * 65_536


UPGRADE = b"GET /predict/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    ("request_head", "says"),
    [
        (UPGRADE + VERSION, "Sec-WebSocket-Key: 16 bytes in base64"),
        (UPGRADE + VERSION + b"Sec-WebSocket-Key: x\r\n", "Sec-WebSocket-Key: 16 bytes in base64"),
        (UPGRADE + VERSION + b"Sec-WebSocket-Key: \xff\xff\r\n", "Sec-WebSocket-Key: 16 bytes in base64"),
        (UPGRADE + KEY + b"Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 13"),
        (UPGRADE + KEY, "Sec-WebSocket-Version: 13"),
        (UPGRADE.replace(b"GET", b"POST") + KEY + VERSION, "is opened with GET"),
    ],
)
def test_a_stream_that_is_opened_wrongly_is_a_problem(target: Target, request_head: bytes, says: str) -> None:
    [(status, problem)] = exchange(target.address, request_head + b"\r\n")
    assert status == 400
    assert says in problem["detail"]


def masked(kind: int, data: bytes) -> bytes:
    assert len(data) < 126
    return bytes([0x80 | kind, 0x80 | len(data)]) + bytes(4) + data


@pytest.mark.clock
@pytest.mark.parametrize(
    "message",
    [masked(1, b"\xff\xfe"), masked(8, b""), masked(1, b'{"text": "\\ud800", "id": "\\udfff"}'), b"\x8b\x80"],
)
def test_a_client_that_never_ends_its_stream_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, message: bytes
) -> None:
    monkeypatch.setattr("app.websocket._CLOSING_SECONDS", 0.2)
    settings = Settings(stream_idle_seconds=0.3)
    with (
        serving(settings, lambda settings: make_service(tmp_path, settings)) as client,
        socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=5) as connection,
    ):
        connection.sendall(UPGRADE + KEY + VERSION + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 101")
        connection.sendall(message)
        with suppress(ConnectionResetError):
            while connection.recv(65_536):
                pass
    assert [record for record in caplog.records if "failed" in record.getMessage()] == []
