"""Fetch a file from where a caller says it is, and from nowhere inside.

    URL ──allowed?──► host ──one lookup──► addresses ──all public?──► connection to that address ──► bytes

Every redirect takes the whole way anew. Knows HTTP as a client; decodes nothing."""

import asyncio
import math
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from time import perf_counter
from weakref import WeakSet

import httpcore

from app import __version__
from app.addresses import Address, is_public
from app.errors import SlowRemoteError
from app.file_url import FileUrl, UrlError
from app.head_limit import HeadLimit
from app.media import MEDIA
from app.refusals import QueueFullError
from app.remote_file import RemoteFile
from app.resolver import LookUp, Resolver, look_up
from app.settings import Settings
from app.upload import Upload
from models.errors import InputError, TooLargeError

MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_ADDRESSES = 4  # tried in turn, where one takes no connection
_CONNECT_SECONDS = 3.0  # for each of them, and for its TLS
_WRITE_BYTES = 262_144  # at once, in a thread: a large file goes to the disk
# Each piece of a body costs some 30 µs of the event loop, even if it holds one byte.
_MAX_SMALL_PIECES = 1000
_MIN_MEAN_BYTES = 256
_RETRY_AFTER_SECONDS = 1
_FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)


class Fetcher:
    """Fetches images by URL, a few at a time, each within its deadline and its limit on bytes."""

    def __init__(
        self,
        settings: Settings,
        *,
        look_up: LookUp = look_up,
        may_connect: Callable[[Address], bool] = is_public,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare, without connecting to anything.

        Args:
            settings: which hosts, how long, how many and how large.
            look_up: all addresses of a host.
            may_connect: whether an address may be connected to. No setting changes it.
            tls: whom to believe; by default the certificates that the system believes.
        """
        self._settings = settings
        self._allowed = settings.allowed_hosts
        self._resolver = Resolver(settings.max_url_fetches, look_up)
        self._may_connect = may_connect
        self._tls = tls or (ssl.create_default_context() if self._allowed else None)
        self._free = asyncio.Semaphore(settings.max_url_fetches)
        self._held: WeakSet[RemoteFile] = WeakSet()  # until whoever asked has been answered

    async def fill(
        self, file: Upload | None, record: Callable[[str, float], None], remaining_seconds: float = math.inf
    ) -> None:
        """Fetch a file that is still elsewhere; leave any other alone.

        Args:
            file: what a caller sent, if anything.
            record: takes the stage `fetch` and its seconds.
            remaining_seconds: until the request's own deadline.

        Raises:
            InputError: a host or an address that is not allowed, or one that does not send the file.
            TooLargeError: a file of more than its modality may have.
            SlowRemoteError: not within `url_timeout_seconds`.
            TimeoutError: the request's own deadline came first.
            QueueFullError: others' fetches took all that time, or their bytes all the room.
        """
        if not isinstance(file, RemoteFile):
            return
        start, begun = perf_counter(), False
        limit_seconds = self._settings.url_timeout_seconds
        try:
            async with asyncio.timeout(min(limit_seconds, remaining_seconds)), self._free:
                begun = True
                self._held.add(file)
                await self._follow(file)
        except TimeoutError:
            if remaining_seconds < limit_seconds:
                raise
            if not begun:
                raise QueueFullError(_RETRY_AFTER_SECONDS) from None
            detail = f"its host did not send it within {limit_seconds:g} s. Try again, or send the file itself."
            raise SlowRemoteError(file.field, detail) from None
        except UrlError as error:
            raise InputError(file.field, str(error)) from None
        finally:
            record("fetch", perf_counter() - start)

    async def _follow(self, file: RemoteFile) -> None:
        url, location = file.url, await self._get(file.url, file)
        try:
            for _ in range(MAX_REDIRECTS):
                if location is None:
                    return
                url = url.join(location)
                location = await self._get(url, file)
        except UrlError as error:
            raise UrlError(f"after a redirect, {error}") from None
        if location is not None:
            raise UrlError(f"redirected more than {MAX_REDIRECTS} times. Send the file's own URL.")

    async def _get(self, url: FileUrl, file: RemoteFile) -> str | None:
        """Fetch from one place; where it redirects, whither, and nothing is fetched."""
        self._allowed.check(url)
        failure: Exception | None = None
        for address in await self._addresses(url):
            try:
                return await self._get_at(address, url, file)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            except _FAILURES:
                raise UrlError(
                    f"{url.host[:100]!r} broke off, or its answer is no HTTP. Send the file itself, as base64."
                ) from None
        raise UrlError(f"{url.host[:100]!r} {_reason(failure)}. Check the URL, or send the file itself.")

    async def _addresses(self, url: FileUrl) -> Sequence[Address]:
        """The addresses to try, after one look at all of them.

        An unknown name and an inner one are told in the same words, or callers could ask us for inner names.
        """
        try:
            addresses: Sequence[Address] = (ip_address(url.host),)
        except ValueError:
            try:
                addresses = await self._resolver.addresses(url.host)
            except (OSError, UnicodeError):
                addresses = ()
        if not addresses or not all(map(self._may_connect, addresses)):
            raise UrlError(
                f"the host {url.host[:100]!r} is not known, or not public. Check it, or send the file itself."
            )
        return addresses[:_MAX_ADDRESSES]

    async def _get_at(self, address: Address, url: FileUrl, file: RemoteFile) -> str | None:
        # The address stands in the URL, so that nothing is looked up again; the name in Host, SNI and the
        # certificate. One connection for one request: a pool would lend it to another name at the same address.
        at = httpcore.URL(scheme=url.scheme, host=str(address), port=url.port, target=url.target)
        headers: list[tuple[bytes | str, bytes | str]] = [
            ("Host", url.authority),
            ("User-Agent", f"intermodal/{__version__}"),
            ("Accept", MEDIA[file.field].media_type),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        extensions = {"sni_hostname": url.host, "timeout": {"connect": _CONNECT_SECONDS}}
        limit = HeadLimit()
        async with (
            httpcore.AsyncHTTPConnection(at.origin, self._tls, network_backend=limit) as connection,
            connection.stream("GET", at, headers=headers, extensions=extensions) as response,
        ):
            limit.lift()
            location = _location(response)
            if location is None:
                await self._receive(response, url, file)
            return location

    async def _receive(self, response: httpcore.Response, url: FileUrl, file: RemoteFile) -> None:
        self._check_head(response, url, file)
        num_bytes = num_pieces = 0
        waiting = bytearray()
        async for piece in response.aiter_stream():
            num_pieces += 1
            num_bytes += len(piece)
            if num_bytes > self._settings.max_file_bytes(file.field):
                raise self._too_large(file)
            if num_pieces > _MAX_SMALL_PIECES + num_bytes / _MIN_MEAN_BYTES:
                raise UrlError(f"{url.host[:100]!r} sends it in crumbs. Send the file itself, as base64.")
            waiting += piece
            if len(waiting) >= _WRITE_BYTES:
                await self._keep(file, waiting)
        await self._keep(file, waiting)
        if not len(file):
            raise UrlError(f"{url.host[:100]!r} sent an empty file. Check the URL.")

    def _check_head(self, response: httpcore.Response, url: FileUrl, file: RemoteFile) -> None:
        if response.status != 200:
            raise UrlError(f"{url.host[:100]!r} answered {response.status} and not 200. Check the URL.")
        encoding = _header(response, b"content-encoding").lower()
        if encoding not in ("", "identity"):
            raise UrlError(f"{url.host[:100]!r} sent it compressed, unasked. Send the file itself, as base64.")
        declared = _header(response, b"content-length")
        if declared.isdecimal() and int(declared) > self._settings.max_file_bytes(file.field):
            raise self._too_large(file)

    def _too_large(self, file: RemoteFile) -> TooLargeError:
        limit = self._settings.max_file_bytes(file.field)
        return TooLargeError(file.field, f"more than {limit:,} bytes, which is the limit. Send a smaller file.")

    async def _keep(self, file: RemoteFile, waiting: bytearray) -> None:
        if sum(map(len, self._held)) + len(waiting) > self._settings.max_pending_bytes:
            raise QueueFullError(_RETRY_AFTER_SECONDS)
        await asyncio.to_thread(file.write, bytes(waiting))
        waiting.clear()


def _header(response: httpcore.Response, name: bytes) -> str:
    return b", ".join(value for key, value in response.headers if key.lower() == name).decode("latin-1").strip()


def _location(response: httpcore.Response) -> str | None:
    return _header(response, b"location") or None if response.status in _REDIRECTS else None


def _reason(failure: BaseException | None) -> str:
    while failure is not None:
        if isinstance(failure, ssl.SSLCertVerificationError):
            return "has no certificate that is valid for that name"
        if isinstance(failure, ssl.SSLError):
            return "does not speak TLS as it should"
        failure = failure.__cause__
    return "took no connection"
