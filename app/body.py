"""A request's body, in any of the three media types, to raw fields by name.

Knows media types and limits on bytes; knows nothing of what a field means."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request

from app import strict_json
from app.errors import MalformedError, SlowBodyError
from app.fields import File, RawFields, object_fields, single
from app.form import FormParser
from app.media import MEDIA, modality_of
from app.upload import Upload
from models.errors import InputError, TooLargeError, UnsupportedMediaError

JSON = "application/json"
FORM = "multipart/form-data"
IMAGE = MEDIA["image"].media_type
AUDIO = MEDIA["audio"].media_type
BARE = (IMAGE, AUDIO)

T = TypeVar("T")
F = TypeVar("F", covariant=True)

_SMALL_BYTES = 65_536  # what parses in less time than handing it to a thread takes
_PIECE_BYTES = 1_000_000  # of a larger body, what is gathered before a thread parses it


async def read_body(
    request: Request,
    check: Callable[[RawFields], T],
    *,
    accepts: tuple[str, ...],
    max_bytes: int,
    spool_bytes: int,
    max_json_values: int,
    max_form_parts: int,
    timeout_seconds: float,
) -> T:
    """Read the body, parse it and check its fields; a large one is parsed off the event loop, as it comes.

    Args:
        request: with the body not yet read.
        check: what to make of the fields.
        accepts: of JSON, FORM and BARE, the media types that this path takes.
        max_bytes: limit on the body, kept while it streams in.
        spool_bytes: of each file in the body, how much stays in memory.
        max_json_values: limit on what a JSON body is made of, in commas and brackets.
        max_form_parts: limit on the parts of a form, and on the fields of a query.
        timeout_seconds: limit on the time until the last byte.

    Raises:
        UnsupportedMediaError: another media type.
        TooLargeError: too many bytes or values.
        SlowBodyError: not all bytes came in time.
        MalformedError: broken JSON or a broken form.
        NoRoomError: a large file cannot be kept.
        InputError: not an object, a field given twice, or a query beside a body that has fields of its own.
        Exception: what `check` raises.
    """
    content_type = request.headers.get("content-type", "")
    kind = _kind(content_type, request.headers.get("content-encoding", ""), accepts)
    query = request.url.query
    if query and kind not in BARE:
        raise InputError(_names(query), "given in the query. With this media type, fields belong in the body.")
    parser: _Parser[RawFields]
    if kind == JSON:
        parser = _JsonParser(max_json_values)
    elif kind == FORM:
        parser = FormParser(content_type, spool_bytes, max_form_parts)
    else:
        parser = FileParser(kind, query, spool_bytes, max_form_parts)

    return await _parsed(request, parser, check, max_bytes=max_bytes, timeout_seconds=timeout_seconds)


async def read_bytes(
    request: Request, check: Callable[[bytes], T], *, max_bytes: int, timeout_seconds: float
) -> T:
    """Read a body that is none of the media types, whatever it calls itself, and check it; as `read_body` does.

    Raises:
        UnsupportedMediaError: it is compressed.
        TooLargeError, SlowBodyError: as `read_body` does.
        Exception: what `check` raises.
    """
    _check_encoding(request.headers.get("content-encoding", ""))
    return await _parsed(request, _Bytes(), check, max_bytes=max_bytes, timeout_seconds=timeout_seconds)


async def _parsed(
    request: Request, parser: "_Parser[F]", check: Callable[[F], T], *, max_bytes: int, timeout_seconds: float
) -> T:
    def end() -> T:
        parser.write(rest)
        return check(parser.fields())

    try:
        async with asyncio.timeout(timeout_seconds):
            rest = await _feed(parser, request, max_bytes)
    except TimeoutError:
        limit = f"{round(timeout_seconds, 1):g} s"
        raise SlowBodyError(f"The body did not arrive within {limit}. Send it faster.") from None
    return end() if len(rest) <= _SMALL_BYTES else await asyncio.to_thread(end)


class _Parser(Protocol[F]):
    def write(self, data: bytes) -> None: ...

    def fields(self) -> F: ...


class _Bytes:
    def __init__(self) -> None:
        self._body = bytearray()

    def write(self, data: bytes) -> None:
        self._body += data

    def fields(self) -> bytes:
        return bytes(self._body)


def _names(query: str) -> str:
    return ", ".join(dict.fromkeys(name for name, _ in parse_qsl(query, keep_blank_values=True))) or "query"


def _kind(content_type: str, encoding: str, accepts: tuple[str, ...]) -> str:
    media_type = content_type.partition(";")[0].strip().lower()
    modality = modality_of(media_type)
    kind = media_type if modality is None else MEDIA[modality].media_type
    if kind not in accepts:
        shown = repr(media_type[:60]) if media_type else "missing"
        raise UnsupportedMediaError("Content-Type", f"{shown}. Send {' or '.join(accepts)}.")
    _check_encoding(encoding)
    return kind


def _check_encoding(encoding: str) -> None:
    if encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaError("Content-Encoding", f"{encoding[:60]!r}. Send the body uncompressed.")


async def _feed(parser: _Parser[F], request: Request, max_bytes: int) -> bytes:
    """Feed a body to its parser, but for the last piece, which is returned.

    One that is too large is refused as soon as that is known; `intake` drops the rest.
    """
    too_large = TooLargeError(
        "body", f"more than {max_bytes:,} bytes. Send less, or raise INTERMODAL_MAX_BODY_BYTES."
    )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    num_bytes, piece = 0, bytearray()
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise too_large
        piece += chunk
        if len(piece) >= _PIECE_BYTES:
            await asyncio.to_thread(parser.write, bytes(piece))
            piece.clear()
    return bytes(piece)


class _JsonParser:
    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._body = bytearray()

    def write(self, data: bytes) -> None:
        self._body += data

    def fields(self) -> RawFields:
        return parse_json(self._body, self._max_values)


def parse_json(body: bytes | bytearray, max_values: int) -> RawFields:
    """A JSON object's members. Raises as `read_body` does."""
    try:
        value = strict_json.parse(body.decode("utf-8-sig"), max_values)
    except UnicodeDecodeError as error:
        raise MalformedError(f"The JSON is not UTF-8 (byte {error.start}). Send UTF-8.") from None
    except ValueError as error:
        raise MalformedError(f"The body is not JSON: {error}. Send one JSON object.") from None
    return RawFields(object_fields(value))


class FileParser:
    """A bare file of one modality, with the other fields in the query."""

    def __init__(self, kind: str, query: str, spool_bytes: int, max_fields: int) -> None:
        self._modality = modality_of(kind) or ""
        self._values = query_values(query, max_fields)
        self._data = Upload(spool_bytes)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._data.write(data)

    def fields(self) -> RawFields:
        """The file, and the query's fields."""
        return RawFields(single([(self._modality, File("body", self._data)), *self._values]), textual=True)


def query_values(query: str, max_fields: int) -> list[tuple[str, str]]:
    """The pairs of a query."""
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=max_fields, errors="strict")
    except UnicodeDecodeError:
        raise MalformedError("The query is not percent-encoded UTF-8.") from None
    except ValueError:
        raise MalformedError(f"The query has more than {max_fields} fields. Send fewer.") from None
