"""From exceptions to answers: one table of statuses, and RFC 9457 problems.

A caller's mistake is told in full; a mistake of ours is logged in full and answered as a bare 500."""

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.dialects import error_member
from app.refusals import ClosedError, ConflictError, NotFoundError, OvertakenError, QueueFullError, StuckError
from app.upload import NoRoomError
from models.errors import EngineMemoryError, InputError, TooLargeError, UnsupportedMediaError
from retrieval.errors import GalleryError, QueryError

PROBLEM_MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger(__name__)


class MalformedError(Exception):
    """The body is not what its content type says: broken JSON, a cut-off form."""


class NotReadyError(Exception):
    """The service starts, stops or is broken."""


class UnauthorizedError(Exception):
    """No API key, or not a known one. The message quotes neither."""


class SlowBodyError(Exception):
    """The client did not send its body in time."""


class SlowRemoteError(InputError):
    """The host that a file was to be fetched from did not send it in time."""


# The first class that fits decides, so a class stands before its base.
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (MalformedError, 400),
    (UnauthorizedError, 401),
    (NotFoundError, 404),
    (SlowBodyError, 408),
    (SlowRemoteError, 504),
    (ConflictError, 409),
    (TooLargeError, 413),
    (UnsupportedMediaError, 415),
    (InputError, 422),
    (QueryError, 422),
    (RequestValidationError, 422),
    (QueueFullError, 429),
    (OvertakenError, 429),
    (ClosedError, 503),
    (NoRoomError, 503),
    (NotReadyError, 503),
    (EngineMemoryError, 503),
    (GalleryError, 503),
    (StuckError, 504),
    (TimeoutError, 504),
)
_HTTP_DETAILS = {
    404: "There is nothing at this path. /docs lists those that there are; none ends with a slash.",
    405: "The path exists, but not for this method. The header Allow names those that it takes.",
}
_PATH = re.compile(r"\S*/")  # a folder of this machine is nobody's business
_BARE_DETAIL = "The service failed. The log has more under this request_id."


def status_of(error: Exception) -> int:
    """The HTTP status of an exception; 500 for one that nobody foresaw."""
    if isinstance(error, HTTPException):
        return error.status_code
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem_of(error: Exception, request_id: str) -> dict[str, Any]:
    """An RFC 9457 problem, with `request_id`; `field` where one is at fault, `retry_after_seconds` where known."""
    status = status_of(error)
    problem: dict[str, Any] = {
        "type": "about:blank",  # RFC 9457, 4.2.1: the title is the status's own
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _BARE_DETAIL if status == 500 else _detail(error),
    }
    if isinstance(error, InputError | QueryError):
        problem["field"] = error.field
    elif isinstance(error, RequestValidationError):
        problem["field"] = ", ".join(map(_field, error.errors()))
    elif isinstance(error, QueueFullError):
        # Retry-After says it too, but a message of a stream and an item of a batch have no headers.
        problem["retry_after_seconds"] = error.retry_after_seconds
    return {**problem, "request_id": request_id}


def _field(fault: Mapping[str, Any]) -> str:
    return ".".join(map(str, fault["loc"][1:]))


def _detail(error: Exception) -> str:
    if isinstance(error, HTTPException):
        return _HTTP_DETAILS.get(error.status_code, str(error.detail))
    if isinstance(error, RequestValidationError):
        faults = "; ".join(f"{_field(fault)}: {fault['msg'].lower()}" for fault in error.errors())
        return f"{faults}. /docs has what it may be."
    if isinstance(error, EngineMemoryError):
        return "There was no memory for this input now. Send it again later, or to another replica."
    if isinstance(error, GalleryError):
        return _PATH.sub("", str(error))
    if isinstance(error, TimeoutError):
        return (
            "The answer took too long. Try again later, or allow more time: the header X-Request-Timeout-Ms, "
            "and INTERMODAL_REQUEST_TIMEOUT_SECONDS above it."
        )
    return str(error)


def problem_response(error: Exception, request_id: str, scope: Mapping[str, Any]) -> Response:
    """The answer to the request of `scope`, which failed with `error`."""
    problem = problem_of(error, request_id)
    problem |= error_member(path_of(scope), problem, error)
    headers: dict[str, str] = dict((error.headers or {}) if isinstance(error, HTTPException) else {})
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = 'Bearer realm="intermodal"'
    if isinstance(error, QueueFullError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    # ASCII only: a detail may quote a lone surrogate, which has no UTF-8.
    return Response(json.dumps(problem), problem["status"], headers, PROBLEM_MEDIA_TYPE)


def log_failure(error: Exception, scope: Mapping[str, Any], request_id: str) -> None:
    """Log an exception that nobody foresaw, with its traceback and the request that it broke."""
    fields = {"method": method_of(scope), "path": logged_path(scope)}
    _LOG.error("request %s failed", request_id, exc_info=error, extra={"fields": fields})


def method_of(scope: Mapping[str, Any]) -> str:
    """The method of a request; WS for a stream over a WebSocket and its messages."""
    method: str = scope.get("method", "WS")
    return method


def path_of(scope: Mapping[str, Any]) -> str:
    """The path within this service, wherever a proxy serves it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def logged_path(scope: Mapping[str, Any]) -> str:
    """The path as it was sent, percent-encoded, cut to 200 characters. Not the query, which may hold a text."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.partition(b"?")[0].decode("ascii", "backslashreplace")[:200]


def add_error_handlers(app: FastAPI) -> None:
    """Answer every foreseen exception as a problem. `telemetry` answers the others, around all of the app."""

    async def answer(request: Request, error: Exception) -> Response:
        return problem_response(error, request.state.request_id, request.scope)

    kinds: list[type[Exception]] = [HTTPException, *(kind for kind, _ in _STATUSES)]
    for kind in kinds:
        app.add_exception_handler(kind, answer)
