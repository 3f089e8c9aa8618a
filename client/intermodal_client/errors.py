"""Why there is no answer: what the service said (a problem, RFC 9457), or that it said nothing."""

import json
from collections.abc import Mapping
from typing import Any

_MAX_QUOTED_CHARACTERS = 500


class IntermodalError(Exception):
    """Base of all errors of this package."""


class TransportError(IntermodalError):
    """No answer came: no connection, or it broke, or it took too long."""


class AnswerError(IntermodalError):
    """An answer came that this version of the client cannot read."""


class ProblemError(IntermodalError):
    """The service refused or failed.

    status: of HTTP.
    title: the status in words.
    detail: field, fault and remedy.
    field: the field at fault, where it is one.
    request_id: what the service's log has it under.
    retry_after_seconds: when to ask again, where the service says so.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str = "",
        field: str | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.field = field
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds


class MalformedError(ProblemError):
    """400: the body is not what its type says."""


class UnauthorizedError(ProblemError):
    """401: an API key is needed, and none or a wrong one was sent."""


class NotFoundError(ProblemError):
    """404: no such model, gallery or item."""


class ConflictError(ProblemError):
    """409: it does not go with what is there."""


class TooLargeError(ProblemError):
    """413: too many bytes, pixels, seconds or items."""


class UnsupportedMediaError(ProblemError):
    """415: a format that is not accepted."""


class InvalidError(ProblemError):
    """422: understood, and not valid; `field` says what."""


class BusyError(ProblemError):
    """429: too many requests wait."""


class UnavailableError(ProblemError):
    """503: starting, stopping or broken."""


class DeadlineError(ProblemError):
    """504: no answer within the time that the request had."""


KINDS: Mapping[int, type[ProblemError]] = {
    400: MalformedError,
    401: UnauthorizedError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    415: UnsupportedMediaError,
    422: InvalidError,
    429: BusyError,
    503: UnavailableError,
    504: DeadlineError,
}
"""By status; any other is a plain ProblemError."""


def problem_from(members: Mapping[str, Any], retry_after_seconds: float | None = None) -> ProblemError:
    """The error that a problem tells of.

    Args:
        members: the problem's.
        retry_after_seconds: what a header says; the problem's own member counts without it.
    """
    status = members.get("status")
    status = status if isinstance(status, int) else 500
    if retry_after_seconds is None:
        retry_after_seconds = _number(members.get("retry_after_seconds"))
    return KINDS.get(status, ProblemError)(
        status,
        str(members.get("detail", "")),
        title=str(members.get("title", "")),
        field=members.get("field"),
        request_id=members.get("request_id"),
        retry_after_seconds=retry_after_seconds,
    )


def problem_of(status: int, body: bytes, headers: Mapping[str, str]) -> ProblemError:
    """The error of an answer that is no success, whoever gave it: a proxy before the service knows no problems."""
    try:
        members = json.loads(body)
    except ValueError:
        members = None
    if not isinstance(members, dict) or "detail" not in members:
        members = {"detail": body[:_MAX_QUOTED_CHARACTERS].decode("utf-8", "replace")}
    known = {"request_id": headers.get("X-Request-ID"), **members, "status": status}
    return problem_from(known, _seconds(headers.get("Retry-After")))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _seconds(value: str | None) -> float | None:
    """Of Retry-After: seconds; a date, which this service does not send, is None."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
