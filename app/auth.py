"""Who may ask: a key for everything, for writes from elsewhere, or for nothing (INTERMODAL_REQUIRE_KEY).

Health is never behind a key. See `keys` for how keys are kept."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from app.context import Context, ContextDep
from app.errors import UnauthorizedError, path_of, problem_response
from app.keys import Keys
from app.setting_groups.lists import split
from app.settings import Settings

_OPEN = ("/health/", "/v2/health/", "/web/")
_FORWARDING = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-real-ip",
    "x-client-ip",
    "via",
)
_REMEDY = "Send Authorization: Bearer <key>, or X-API-Key: <key>."


def given_key(headers: Headers) -> bytes | None:
    """The key that a request carries, in either of the two headers."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    value = credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
    return value.encode("latin-1") or None  # headers were decoded from latin-1, so these are the bytes sent


def authenticate(connection: HTTPConnection, keys: Keys) -> None:
    """Note the name of the request's key for the log.

    Raises:
        UnauthorizedError: no key, or one that is not known.
    """
    key = given_key(connection.headers)
    if key is None:
        raise UnauthorizedError(f"This needs an API key. {_REMEDY}")
    name = keys.name_of(key)
    if name is None:
        raise UnauthorizedError(f"The API key is not known. {_REMEDY}")
    connection.state.trace.key = name


def from_this_machine(connection: HTTPConnection) -> bool:
    """Whether a program on this machine asks: not a proxy for another, nor a web page in a browser.

    A page of any site may post a form to 127.0.0.1 (its Origin differs), and a hostile name server may make its
    own name mean 127.0.0.1 (its Host does).
    """
    headers = connection.headers
    if connection.client is None or not is_loopback(connection.client.host):
        return False
    # A proxy that adds no header speaks HTTP/1.0 by nginx's defaults, where programs of this machine do not.
    if connection.scope.get("http_version") == "1.0" or any(name in headers for name in _FORWARDING):
        return False
    host = headers.get("host", "")
    origin = headers.get("origin")
    return is_loopback(_hostname(host)) and (origin is None or origin.partition("://")[2] == host)


def check_origin(connection: HTTPConnection, settings: Settings) -> None:
    """Refuse a web page of another site: a browser lets any page open a WebSocket to anywhere.

    Raises:
        UnauthorizedError: the page's site is neither this service's own nor among `cors_origins`.
    """
    origin = connection.headers.get("origin")
    allowed = split(settings.cors_origins)
    if origin is None or "*" in allowed or origin in allowed:
        return
    if origin.partition("://")[2] != connection.headers.get("host", ""):
        raise UnauthorizedError("Pages of this origin may not open a stream. Add it to INTERMODAL_CORS_ORIGINS.")


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, is this machine's own and no other's."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class KeyMiddleware:
    """Refuses every request without a known key, before its body is read; health and the page are let through.

    The page is the same for everybody, and where a person types the key in.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self.app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] in ("http", "websocket") and not _is_open(path_of(scope)):
            connection = HTTPConnection(scope)
            try:
                authenticate(connection, self._keys)
            except UnauthorizedError as error:
                await problem_response(error, connection.state.request_id, scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in ("", "/") or path.startswith(_OPEN)


def _key_to_write(
    context: ContextDep,
    _bearer: Annotated[object, Security(HTTPBearer(auto_error=False))],  # both only for the document
    _header: Annotated[object, Security(APIKeyHeader(name="X-API-Key", auto_error=False))],
) -> None:
    check_write(context)


def check_write(context: Context) -> None:
    """Let a write through: with a key, from this machine, or where the settings ask for none.

    Raises:
        UnauthorizedError: otherwise.
    """
    settings = context.settings
    proxied = bool(settings.root_path or settings.forwarded_allow_ips)  # then nobody comes to us directly
    if settings.require_key == "writes" and (proxied or not from_this_machine(context.request)):
        authenticate(context.request, settings.keys)


WriteKey = Depends(_key_to_write)
"""For the `dependencies` of a route that changes something."""
