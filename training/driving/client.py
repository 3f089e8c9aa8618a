"""Ask a service many times a second: over its WebSocket where it has one, else by POST /predict.

Knows the wire; knows no simulator. See docs/api.md, "Policies"."""

import http.client
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from time import perf_counter
from typing import Any, NamedTuple, Protocol
from urllib.parse import SplitResult, quote, urlsplit

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from models.errors import ConfigError

LENGTH_BYTES = 4
TIMEOUT_SECONDS = 30.0
CONTROLS = ("steer", "gas", "brake")
"""The heads that a model needs to drive."""

NO_ANSWER = 0
"""The status of a reply that never came."""

_GONE = (OSError, WebSocketException, http.client.HTTPException, ValueError)
"""What is raised where a service goes away, hangs, or answers with what is no JSON."""


class Reply(NamedTuple):
    """An answer, or what came in its place.

    status: `NO_ANSWER` where none came: the service is gone, or hangs.
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
        """Put one question: fields of /predict, and files by modality. Raises nothing where no answer comes."""

    def close(self) -> None:
        """Ask no more."""


class Stream:
    """Over one open WebSocket."""

    way = "WS /predict/stream"

    def __init__(self, url: str, model: str, headers: Mapping[str, str]) -> None:
        place = urlsplit(url)
        scheme = "wss" if place.scheme == "https" else "ws"
        self._address = f"{scheme}://{place.netloc}{place.path.rstrip('/')}/models/{quote(model)}/predict/stream"
        self._headers = headers
        self._open = ExitStack()
        self._socket: ClientConnection | None = None
        self._opened()

    def ask(self, fields: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply:
        """See `Service`."""
        lengths = {"files": {name: len(file) for name, file in files.items()}} if files else {}
        head = json.dumps({**fields, **lengths}).encode()
        message = len(head).to_bytes(LENGTH_BYTES) + head + b"".join(files.values())

        def once() -> tuple[int, dict[str, Any]]:
            socket = self._opened()
            socket.send(message)
            content = _object(socket.recv(timeout=TIMEOUT_SECONDS))
            return int(content.get("status", NO_ANSWER)), content

        return _ask(once, self.close)

    def close(self) -> None:
        """See `Service`."""
        self._socket = None
        self._open.close()

    def _opened(self) -> ClientConnection:
        if self._socket is None:
            self._socket = self._open.enter_context(
                connect(
                    self._address,
                    additional_headers=self._headers,
                    compression=None,
                    open_timeout=TIMEOUT_SECONDS,
                )
            )
        return self._socket


class Posts:
    """A request for each question, over one kept connection."""

    way = "POST /predict"

    def __init__(self, url: str, model: str, headers: Mapping[str, str]) -> None:
        place = urlsplit(url)
        self._connection = _connection(place)
        self._path = f"{place.path.rstrip('/')}/models/{quote(model)}/predict"
        self._headers = {**headers, "Content-Type": "application/json"}

    def ask(self, fields: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply:
        """See `Service`."""
        body = json.dumps({**fields, **{name: b64encode(file).decode() for name, file in files.items()}})

        def once() -> tuple[int, dict[str, Any]]:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            return response.status, _object(response.read())

        return _ask(once, self.close)

    def close(self) -> None:
        """See `Service`. The next question would open it again."""
        self._connection.close()


def _ask(once: Callable[[], tuple[int, dict[str, Any]]], close: Callable[[], None]) -> Reply:
    """The reply, in whose place another connection is tried once: one that was long idle may be closed.

    After a fault the connection is dropped: what came over it late would be taken for the next question's answer.
    """
    start, fault = perf_counter(), ""
    for _ in range(2):
        try:
            status, content = once()
            return Reply(status, content, perf_counter() - start)
        except _GONE as error:
            fault = str(error) or type(error).__name__
            close()
            if isinstance(error, TimeoutError):  # it was waited for long enough
                break
    return Reply(NO_ANSWER, {"detail": fault}, perf_counter() - start)


def reach(
    url: str, model: str, *, post: bool = False, key: str | None = None, flag: str = "--url"
) -> Stream | Posts:
    """The way to a service's model: a stream, or where it has none, or `post` asks for them, requests.

    Args:
        url: of the service.
        model: its name.
        post: do not try a stream.
        key: for a service that wants one.
        flag: that the url was given by, named in errors.

    Raises:
        ConfigError: there is no service, it has no such model, or the model says nothing of what a driver does.
    """
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        place = urlsplit(url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise ConfigError(f"{flag} {url}: is no address of a service. Write, say, http://127.0.0.1:8000.")
        _check(url, model, flag, headers)
        if not post:
            try:
                return Stream(url, model, headers)
            except InvalidStatus as error:
                if error.response.status_code != 404:
                    code = error.response.status_code
                    raise ConfigError(f"{flag} {url}: answers {code} to a stream. Try --post.") from None
        return Posts(url, model, headers)
    except _GONE as error:
        raise ConfigError(f"{flag} {url}: no service answers there ({error}). Start one: python -m app") from None


def _check(url: str, model: str, flag: str, headers: Mapping[str, str]) -> None:
    """Ask `GET /models/{name}` whether it can drive."""
    place = urlsplit(url)
    with closing(_connection(place)) as connection:
        connection.request("GET", f"{place.path.rstrip('/')}/models/{quote(model)}", headers=dict(headers))
        response = connection.getresponse()
        content, status = response.read(), response.status
    if status == 401:
        raise ConfigError(f"{flag} {url}: wants an API key, and another one than was sent. Give it by --key-file.")
    if status != 200:
        raise ConfigError(
            f"{flag} {url}: answers {status} for the model {model!r}. GET /models lists what it has."
        )
    heads = _object(content).get("values", {})
    if lacking := [name for name in CONTROLS if name not in heads]:
        raise ConfigError(
            f"--model {model}: gives no {', '.join(lacking)}, so it cannot drive. "
            "Train one by recipes/driving.toml."
        )


def _object(content: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError: it is none, so this is no service of ours."""
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("it answers with no JSON object")
    return found


def _connection(place: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    return kind(place.netloc, timeout=TIMEOUT_SECONDS)
