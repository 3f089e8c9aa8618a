"""The door before the routes: what finds no place or no time is refused by its head alone.

Pure ASGI and innermost: in an overload most requests end here, and each takes as little from others as it can."""

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.call import Call
from app.errors import problem_response
from app.refusals import QueueFullError
from app.settings import Settings
from models.errors import InputError

if TYPE_CHECKING:
    from app.service import Service
    from app.telemetry import Trace

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_WRITES = "/generate"
_WORK = (
    "/predict", "/predict/batch", "/embed", "/search", "/classify", "/transcribe", "/items:batch",
    "/infer", "/embeddings", _WRITES,
)  # fmt: skip
"""What the paths end with whose requests go into the pipe."""


def call_of(scope: Scope, settings: Settings) -> Call:
    """What a request brings into the pipe: its time runs from the end of its head. Made once.

    Raises:
        InputError: the header X-Request-Timeout-Ms is no time.
    """
    state = scope["state"]
    if "call" not in state:
        trace: Trace = state["trace"]
        seconds = seconds_of(Headers(scope=scope), settings)
        state["call"] = Call(record=trace.timings.record, deadline=trace.started + seconds)
    call: Call = state["call"]
    return call


def seconds_of(headers: Headers, settings: Settings) -> float:
    """How long an answer may take: what the header says, and no more than the settings. Raises InputError."""
    given = headers.get(TIMEOUT_HEADER)
    if given is None:
        return settings.request_timeout_seconds
    # Nine digits are eleven days; more would only be work to parse.
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given) > 0):
        raise InputError(TIMEOUT_HEADER, "must be a whole number of milliseconds, at least 1, e.g. 2000.")
    return min(settings.request_timeout_seconds, int(given) / 1000)


class AdmissionMiddleware:
    """Asks `Pipeline.admit` before the body is read and before the route is looked for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        work = next((end for end in _WORK if scope["path"].endswith(end)), None) if _is_post(scope) else None
        if work is not None:
            service: Service = scope["app"].state.service
            pipeline = service.pipeline
            admit = pipeline.generation.admit if work == _WRITES else pipeline.admit
            try:
                admit(call_of(scope, service.settings))
            except (InputError, QueueFullError, TimeoutError) as error:
                scope["state"]["trace"].route = work
                await problem_response(error, scope["state"]["request_id"], scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _is_post(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["method"] == "POST")
