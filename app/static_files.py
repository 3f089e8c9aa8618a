"""The files of the page: read once, found by their whole names alone, so that no path leads out of their folder.

Knows HTTP's caches; knows nothing of what the files say."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response

WEB = Path(__file__).parent / "web"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""By ending; a file with another one is not served."""

# No script, style or image but ours, no inline one, and nothing that another site could frame or be sent to.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",  # kept, and asked for again with its ETag: names do not change with versions
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is served."""

    data: bytes
    media_type: str
    etag: str

    def response(self, request: Request) -> Response:
        """The file, or 304 where the client has it. A server sends no body after HEAD by itself."""
        headers = {**HEADERS, "ETag": self.etag}
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if self.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.data, headers=headers, media_type=self.media_type)


def read_files(folder: Path = WEB) -> Mapping[str, StaticFile]:
    """The files of `folder` by name; folders in it are not looked into."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in MEDIA_TYPES and path.is_file():
            data = path.read_bytes()
            etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
            files[path.name] = StaticFile(data, MEDIA_TYPES[path.suffix], etag)
    return files
