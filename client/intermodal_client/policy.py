"""How a client asks: where, with which key, for how long, and when again. Sends nothing."""

import random
from dataclasses import dataclass
from typing import Any

import httpx

from intermodal_client.calls import Call
from intermodal_client.errors import ProblemError, TransportError, problem_of

AGAIN = (429, 502, 503)
"""Answers after which nothing was done, and another attempt may find room: 502 is a proxy's."""

_FIRST_PAUSE_SECONDS = 0.25
_SLACK_SECONDS = 2.0  # so that a service's own 504 arrives


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How requests are sent.

    api_key: sent as a bearer token, where the service wants one.
    timeout_seconds: for each attempt; the service is told, and does no work that nobody waits for.
    max_retries: further attempts after one that was refused, or could not be sent.
    max_wait_seconds: what a service may ask to wait; where it asks for more, its refusal is raised.
    """

    api_key: str | None = None
    timeout_seconds: float = 30.0
    max_retries: int = 3
    max_wait_seconds: float = 30.0

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}

    def options(self, call: Call[Any]) -> dict[str, Any]:
        """The arguments of httpx's `request`."""
        body, seconds = call.body, call.timeout_seconds or self.timeout_seconds
        return {
            "method": call.method,
            "url": call.path,
            "params": dict(call.query) or None,
            "json": body.json,
            "files": None if body.files is None else dict(body.files),
            "data": None if body.form is None else dict(body.form),
            "timeout": httpx.Timeout(seconds + _SLACK_SECONDS, connect=min(5.0, seconds)),
            "headers": {"X-Request-Timeout-Ms": str(max(1, round(seconds * 1000)))},
        }

    def refusal(self, answer: httpx.Response, attempt: int) -> tuple[ProblemError, float | None]:
        """What an answer that is no success says, and the seconds until another attempt; None for none."""
        problem = problem_of(answer.status_code, answer.content, answer.headers)
        if answer.status_code not in AGAIN or attempt >= self.max_retries:
            return problem, None
        wait = problem.retry_after_seconds
        if wait is None:
            return problem, _pause(attempt)
        if wait > self.max_wait_seconds:
            return problem, None
        return problem, wait * random.uniform(1.0, 1.1)  # noqa: S311 - so that not all come at once

    def fault(
        self, error: httpx.TransportError, call: Call[Any], attempt: int
    ) -> tuple[TransportError, float | None]:
        """What it means that no answer came, and the seconds until another attempt; None for none."""
        found = TransportError(f"{call.method} {call.path}: {str(error) or type(error).__name__}")
        unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        broken = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)
        if attempt >= self.max_retries or not (unsent or (broken and call.repeatable)):
            return found, None  # and what took too long once would do so again
        return found, _pause(attempt)


def _pause(attempt: int) -> float:
    """Twice as long each time, and never just as long as another client's."""
    return float(_FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
