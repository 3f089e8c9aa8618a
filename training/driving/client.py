"""Ask a service many times a second: over its WebSocket where it has one, else by POST /predict.

Knows the wire; knows no simulator. See docs/api.md, "Many requests over one connection"."""

import http.client
import json
from base64 import b64encode
from collections.abc import Mapping
from contextlib import ExitStack, closing
from time import perf_counter
from typing import Any, NamedTuple, Protocol
from urllib.parse import SplitResult, quote, urlsplit

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from models.errors import ConfigError

LENGTH_BYTES = 4
TIMEOUT_SECONDS = 30.0
CONTROLS = ("steer", "gas", "brake")
"""The heads that a model needs to drive."""


class Reply(NamedTuple):
    """An answer, or what came in its place.

    content: of /predict; a problem where the status is not 200.
    seconds: from before it was asked to after it was read.
    """

    status: int
    content: dict[str, Any]
    seconds: float


class Service(Protocol):
    """Somebody who answers."""

    way: str
    """The route, for people."""

    def ask(self, fields: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply:
        """Put one question: fields of /predict, and files by modality."""

    def close(self) -> None:
        """Ask no more."""


class Stream:
    """Over one open WebSocket."""

    way = "WS /predict/stream"

    def __init__(self, url: str, model: str) -> None:
        place = urlsplit(url)
        scheme = "wss" if place.scheme == "https" else "ws"
        address = f"{scheme}://{place.netloc}{place.path.rstrip('/')}/models/{quote(model)}/predict/stream"
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(address, compression=None, open_timeout=TIMEOUT_SECONDS))

    def ask(self, fields: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply:
        """See `Service`."""
        start = perf_counter()
        lengths = {"files": {name: len(file) for name, file in files.items()}} if files else {}
        head = json.dumps({**fields, **lengths}).encode()
        self._socket.send(len(head).to_bytes(LENGTH_BYTES) + head + b"".join(files.values()))
        content = json.loads(self._socket.recv(timeout=TIMEOUT_SECONDS))
        return Reply(int(content["status"]), content, perf_counter() - start)

    def close(self) -> None:
        """See `Service`."""
        self._open.close()


class Posts:
    """A request for each question, over one kept connection."""

    way = "POST /predict"

    def __init__(self, url: str, model: str) -> None:
        place = urlsplit(url)
        self._connection = _connection(place)
        self._path = f"{place.path.rstrip('/')}/models/{quote(model)}/predict"

    def ask(self, fields: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply:
        """See `Service`."""
        start = perf_counter()
        body = {**fields, **{name: b64encode(file).decode() for name, file in files.items()}}
        self._connection.request("POST", self._path, json.dumps(body), {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        content = json.loads(response.read())
        return Reply(response.status, content, perf_counter() - start)

    def close(self) -> None:
        """See `Service`."""
        self._connection.close()


def reach(url: str, model: str, *, post: bool = False) -> Stream | Posts:
    """The way to a service's model: a stream, or where it has none, or `post` asks for them, requests.

    Raises:
        ConfigError: there is no service, it has no such model, or the model says nothing of what a driver does.
    """
    try:
        status, found = _describe(url, model)
        if status != 200:
            raise ConfigError(
                f"--url {url}: answers {status} for the model {model!r}. GET /models lists what it has."
            )
        if lacking := [name for name in CONTROLS if name not in found.get("values", {})]:
            raise ConfigError(
                f"--model {model}: gives no {', '.join(lacking)}, so it cannot drive. "
                "Train one by recipes/driving.toml."
            )
        if not post:
            try:
                return Stream(url, model)
            except InvalidStatus as error:
                if error.response.status_code != 404:
                    code = error.response.status_code
                    raise ConfigError(f"--url {url}: answers {code} to a stream. Try --post.") from None
        return Posts(url, model)
    except (OSError, WebSocketException, http.client.HTTPException, ValueError) as error:
        raise ConfigError(f"--url {url}: no service answers there ({error}). Start one: python -m app") from None


def _describe(url: str, model: str) -> tuple[int, dict[str, Any]]:
    """What `GET /models/{name}` says."""
    place = urlsplit(url)
    with closing(_connection(place)) as connection:
        connection.request("GET", f"{place.path.rstrip('/')}/models/{quote(model)}")
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if response.status == 200 else {}


def _connection(place: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    return kind(place.netloc, timeout=TIMEOUT_SECONDS)
