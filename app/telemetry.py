"""What a request is known by and where its time went: X-Request-ID and Server-Timing.

Pure ASGI and outermost: it also answers the exceptions that nobody foresaw, so that they carry the id too."""

import re
import uuid
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import log_failure, problem_response

STAGES = ("read", "decode", "queue", "encode", "fuse", "search")
_SANE_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Timings:
    """Seconds by stage of one request. A batch's items run at once, so the longest of each stage counts."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def record(self, stage: str, seconds: float) -> None:
        """Note that one item spent `seconds` in one of STAGES."""
        self._seconds[stage] = max(seconds, self._seconds.get(stage, 0.0))

    def header(self) -> str:
        """The value of Server-Timing, in milliseconds; empty where nothing was recorded."""
        return ", ".join(
            f"{name};dur={self._seconds[name] * 1000:.2f}" for name in STAGES if name in self._seconds
        )


class TelemetryMiddleware:
    """Puts `request_id` and `timings` into the request's state, and both into the answer's headers.

    Also sets the path that a proxy serves under, which whoever writes addresses reads from the scope.
    """

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        timings = Timings()
        if self._root_path:
            scope["root_path"] = self._root_path
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "timings": timings}
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                if value := timings.header():
                    headers["Server-Timing"] = value
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:  # the last resort
            log_failure(error, scope, request_id)
            if started:
                raise  # the server cuts the connection, or a half answer would look whole
            await problem_response(error, request_id)(scope, receive, send_with_headers)


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's id if it is 1 to 128 visible ASCII characters, else a new one."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode("ascii") if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
