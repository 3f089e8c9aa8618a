"""What a request is known by and where its time went: X-Request-ID, Server-Timing, a log line, the metrics.

Pure ASGI, within the intake: it also answers the exceptions that nobody foresaw, so that they carry the id too.
A stream over a WebSocket is a request until it opens: its refusal is logged and counted like any other."""

import asyncio
import logging
import random
import re
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from time import perf_counter

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import log_failure, logged_path, method_of, problem_response
from app.metrics import Metrics
from app.refusals import ClosedError
from app.tracing import describe_span

STAGES = ("read", "fetch", "decode", "queue", "encode", "fuse", "transcribe", "generate", "search", "explain")
_NOBODY_LEFT = 499  # nginx's word for a client that left before its answer
_OPENED = 101  # a stream, which tells of itself from there on
_HEADS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
NO_ROUTE = "none"
"""What all paths that nobody serves are counted under."""

_PROBES = ("/health/", "/v2/health/", "/metrics")
_SANE_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_LOG = logging.getLogger(__name__)
_random = random.Random()  # noqa: S311 - an id is no secret; seeded by the system, and asks it for no more


class Timings:
    """Seconds by stage of one request. A batch's items run at once, so the longest of each stage counts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def record(self, stage: str, seconds: float) -> None:
        """Note that one item spent `seconds` in one of STAGES."""
        self.seconds[stage] = max(seconds, self.seconds.get(stage, 0.0))

    def header(self) -> str:
        """The value of Server-Timing, in milliseconds; empty where nothing was recorded."""
        return ", ".join(f"{name};dur={ms:.2f}" for name, ms in self.in_ms().items())

    def in_ms(self) -> dict[str, float]:
        """Milliseconds by stage, in the order of STAGES."""
        return {name: round(self.seconds[name] * 1000, 2) for name in STAGES if name in self.seconds}


@dataclass(slots=True)
class Trace:
    """What is known of one request for the log. Never its payload."""

    request_id: str
    timings: Timings = field(default_factory=Timings)
    started: float = field(default_factory=perf_counter)
    num_bytes_in: int = 0
    status: int | None = None
    model: str | None = None
    version: int | None = None
    key: str | None = None
    """The name of the API key that was given, where one was needed."""
    route: str | None = None
    """What the metrics count it under, where that is not the template of its route."""
    trace_id: str | None = None
    """OpenTelemetry's, where it traces this request."""

    def span_attributes(self) -> dict[str, str | int | float]:
        """For OpenTelemetry: id, model, and the milliseconds of each stage."""
        found: dict[str, str | int | float] = {"request_id": self.request_id}
        if self.model is not None:
            found |= {"model": self.model, "version": self.version or 0}
        return found | {f"{name}_ms": value for name, value in self.timings.in_ms().items()}


class TelemetryMiddleware:
    """Puts `request_id` and `trace` into the request's state; heads, logs and counts the answer.

    Also sets the path that a proxy serves under, which whoever writes addresses reads from the scope.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, root_path: str = "") -> None:
        self.app = app
        self._metrics = metrics
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if self._root_path and scope["type"] != "lifespan":
            scope["root_path"] = self._root_path
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        trace = Trace(_request_id(scope["headers"]))
        scope["state"] = {**scope.get("state", {}), "request_id": trace.request_id, "trace": trace}
        in_flight = self._metrics.in_flight.track_inprogress() if scope["type"] == "http" else nullcontext()
        with in_flight:
            try:
                await self._answer(scope, receive, send, trace)
            finally:
                self._finish(scope, trace)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, trace: Trace) -> None:
        async def counted() -> Message:
            message = await receive()
            trace.num_bytes_in += len(message.get("body", b""))
            return message

        async def send_with_headers(message: Message) -> None:
            if message["type"] in _HEADS:
                trace.status = message.get("status", _OPENED)
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = trace.request_id
                if value := trace.timings.header():
                    headers["Server-Timing"] = value
                # OpenTelemetry ends its span with the last byte, before this returns.
                trace.trace_id = describe_span(trace.span_attributes)
            await send(message)

        try:
            await self.app(scope, counted, send_with_headers)
        except ClientDisconnect:
            return  # nobody is left to answer
        except asyncio.CancelledError:  # the server's time to stop is over
            if trace.status is not None:
                raise
            await problem_response(ClosedError(), trace.request_id, scope)(scope, receive, send_with_headers)
        except Exception as error:  # the last resort
            log_failure(error, scope, trace.request_id)
            if trace.status is not None:
                raise  # the server cuts the connection, or a half answer would look whole
            await problem_response(error, trace.request_id, scope)(scope, receive, send_with_headers)

    def _finish(self, scope: Scope, trace: Trace) -> None:
        if trace.status == _OPENED:
            return
        seconds = perf_counter() - trace.started
        status = trace.status or _NOBODY_LEFT
        route = trace.route or _route(scope)
        self._metrics.answered(method_of(scope), route, status, seconds, trace.timings.seconds)
        # Probes come every few seconds, and say something only when they fail.
        level = logging.DEBUG if status < 400 and route.startswith(_PROBES) else logging.INFO
        if _LOG.isEnabledFor(level):
            fields = {
                "request_id": trace.request_id,
                "method": method_of(scope),
                "path": logged_path(scope),
                "status": status,
                "duration_ms": round(seconds * 1000, 2),
                "bytes_in": trace.num_bytes_in,
                "stages_ms": trace.timings.in_ms(),
            }
            known = {"model": trace.model, "version": trace.version, "key": trace.key, "trace_id": trace.trace_id}
            fields |= {name: value for name, value in known.items() if value is not None}
            _LOG.log(level, "request", extra={"fields": fields})


def _route(scope: Scope) -> str:
    """The template of the route, e.g. /models/{name}: there are few, whatever is asked for."""
    # FastAPI keeps the prefix of an included router here; `route` is the route without it.
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    route = getattr(route, "starlette_route", None) or route  # a WebSocket's is one of Starlette's
    return getattr(route, "path_format", NO_ROUTE)


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's id if it is 1 to 128 visible ASCII characters, else a new one."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode("ascii") if _SANE_ID.fullmatch(given) else f"{_random.getrandbits(128):032x}"
