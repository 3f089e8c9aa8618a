"""Where a file may be fetched from: a URL taken apart strictly, and the hosts that are allowed.

Knows spellings; resolves nothing and connects to nothing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Self
from urllib.parse import urljoin

MAX_URL_CHARACTERS = 2048
_PORTS = {"http": 80, "https": 443}
# One grammar, and the request is built from its parts alone: no second parser that could read another host.
_URL = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?(/[^?#]*)?(\?[^#]*)?(?:#.*)?", re.IGNORECASE
)
_SANE = re.compile(rf"[!-\[\]-~]{{1,{MAX_URL_CHARACTERS}}}")  # visible ASCII without the backslash
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_MAX_NAME_CHARACTERS = 253


class UrlError(Exception):
    """A file cannot be had by its URL. The message says why and what to do, and names no address."""


@dataclass(frozen=True, slots=True)
class FileUrl:
    """A URL of http or https in its parts; `host` is a lower-case name, or an address without brackets."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a URL apart.

        Raises:
            UrlError: anything but an absolute URL of http or https in ASCII, with a plain host.
        """
        match = _URL.fullmatch(text) if _SANE.fullmatch(text) else None
        if match is None:
            raise UrlError(
                f"the URL is none that is taken. Send http:// or https://, a host, and a path, without a user's "
                f"name, in at most {MAX_URL_CHARACTERS:,} characters of ASCII (percent-encode others; write an "
                f"international host as xn--…)."
            )
        scheme, host, port, path, query = match.groups()
        scheme = scheme.lower()
        number = _PORTS[scheme] if port is None else int(port)
        if not 0 < number < 65_536:
            raise UrlError("the URL has an impossible port. Send one from 1 to 65535, or none.")
        return cls(scheme, _host(host), number, (path or "/") + (query or ""))

    def join(self, location: str) -> Self:
        """Where a redirect to `location` leads.

        Raises:
            UrlError: as `parse` does, and for a way from https back to http.
        """
        if not _SANE.fullmatch(location):  # urljoin would drop some characters
            raise UrlError("the redirect's URL has characters that no URL has. Send the file's own URL.")
        try:
            joined = urljoin(f"{self.scheme}://{self.authority}{self.target}", location)
        except ValueError:
            raise UrlError("the redirect's URL cannot be read. Send the file's own URL.") from None
        target = self.parse(joined)
        if (self.scheme, target.scheme) == ("https", "http"):
            raise UrlError("the redirect leads from https to http. Send the file's own URL.")
        return target

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The hosts that an operator allows, each with a port, or None for 80 and 443."""

    entries: tuple[tuple[str, int | None], ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Read entries such as `shop.example`, `*.shop.example`, `shop.example:8443` and `*`.

        Raises:
            ValueError: naming the entry that is none of these.
        """
        return cls(tuple(_entry(entry) for entry in entries))

    def __bool__(self) -> bool:
        return bool(self.entries)

    def check(self, url: FileUrl) -> None:
        """Refuse a URL of another host or port.

        Raises:
            UrlError: naming the host, and not the ones that are allowed.
        """
        if not any(_matches(pattern, port, url) for pattern, port in self.entries):
            raise UrlError(
                f"the host {url.authority[:100]!r} is not allowed here. Send the file itself, as base64."
            )


def _matches(pattern: str, port: int | None, url: FileUrl) -> bool:
    if url.port != port and not (port is None and url.port in _PORTS.values()):
        return False
    if pattern.startswith("*."):
        return url.host.endswith(pattern[1:])
    return pattern in ("*", url.host)


def _entry(entry: str) -> tuple[str, int | None]:
    if entry == "*":
        return entry, None
    wildcard = "*." if entry.startswith("*.") else ""
    match = re.fullmatch(r"(\[[^]]*\]|[^:]+)(?::([0-9]{1,5}))?", entry.removeprefix(wildcard))
    try:
        if match is None:
            raise UrlError("no host")
        return wildcard + _host(match[1]), int(match[2]) if match[2] else None
    except UrlError:
        raise ValueError(
            f"{entry!r} is no host. Write shop.example, *.shop.example, shop.example:8443, or * for any"
        ) from None


def _host(raw: str) -> str:
    """A host in the one spelling that is compared, resolved and verified.

    Raises:
        UrlError: no name, or an address in a spelling that some read differently (2130706433, 0177.0.0.1, 127.1).
    """
    name = raw.lower().removesuffix(".")
    try:
        if name.startswith("["):
            return str(IPv6Address(name[1:-1]))
        if _NUMBER.fullmatch(name.rpartition(".")[2]):
            return str(IPv4Address(name))
    except ValueError:
        raise UrlError(
            "the URL's host is no address. Write one as four decimal numbers, or send a name."
        ) from None
    if len(name) > _MAX_NAME_CHARACTERS or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise UrlError("the URL's host is no name. Check how it is spelt.")
    return name
