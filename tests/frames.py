"""A client of /predict/stream: frames out, answers in."""

import json
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect


def frame(fields: dict[str, Any], **files: bytes) -> bytes:
    """A binary message: the length of the JSON, the JSON, the files."""
    head = json.dumps(fields).encode()
    return len(head).to_bytes(4, "big") + head + b"".join(files.values())


def stream(client: httpx.Client, path: str = "", query: str = "", **options: Any) -> ClientConnection:
    """Open a stream."""
    url = f"ws://127.0.0.1:{client.base_url.port}{path}/predict/stream{query}"
    return connect(url, compression=None, **options)


def answer(socket: ClientConnection) -> dict[str, Any]:
    """The next answer."""
    found: dict[str, Any] = json.loads(socket.recv(timeout=10))
    return found


def ask(socket: ClientConnection, message: bytes | str | dict[str, Any]) -> dict[str, Any]:
    """Send one request, and wait for its answer."""
    socket.send(json.dumps(message) if isinstance(message, dict) else message)
    return answer(socket)
