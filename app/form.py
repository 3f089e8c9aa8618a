"""A multipart form to raw fields. Knows parts and their headers; knows no field by name."""

import logging
from collections.abc import Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import MalformedError
from app.fields import File, RawFields, single
from app.media import modality_of
from app.upload import Upload

# It warns of every broken form, and quotes from it; the answer says what is wrong.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class FormParser:
    """Takes a form as it arrives: strings, and Files where a part has a file name or a file's type.

    Starlette's own parser takes a form that is cut short, and reads broken UTF-8 as Latin-1.
    """

    def __init__(self, content_type: str, spool_bytes: int, max_parts: int) -> None:
        """Read the boundary.

        Args:
            content_type: the header.
            spool_bytes: of each part, how much stays in memory.
            max_parts: limit on their number.

        Raises:
            MalformedError: no boundary.
        """
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise MalformedError(
                "The multipart body has no boundary. Let your HTTP client set the Content-Type itself."
            )
        self._parts = _Parts(spool_bytes, max_parts)
        try:
            self._parser = MultipartParser(boundary, self._parts.callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise _malformed(error) from None

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            MalformedError: this is no form, has too many parts, or text that is not UTF-8.
            NoRoomError: a file cannot be kept.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(error) from None

    def fields(self) -> RawFields:
        """The parts, once all is written.

        Raises:
            MalformedError: the form is cut short.
            InputError: a name is there twice.
        """
        try:
            self._parser.finalize()
        except FormParserError as error:
            raise _malformed(error) from None
        if not self._parts.ended:
            raise MalformedError(
                "The multipart form is cut short: its closing boundary is missing. Send it whole."
            )
        return RawFields(single(self._parts.values), textual=True)


class _Parts:
    """Collects parts as the parser comes across them."""

    def __init__(self, spool_bytes: int, max_parts: int) -> None:
        self.values: list[tuple[str, str | File]] = []
        self.ended = False
        self._spool_bytes = spool_bytes
        self._max_parts = max_parts
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._data = Upload(spool_bytes)

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """What the parser calls, by its names."""
        names = ("on_part_begin", "on_part_data", "on_part_end", "on_end")
        headers = ("on_header_begin", "on_header_field", "on_header_value", "on_header_end")
        return {name: getattr(self, name) for name in names + headers}

    def on_part_begin(self) -> None:
        if len(self.values) >= self._max_parts:
            raise MalformedError(
                f"The form has more than {self._max_parts} parts. Send fewer, or raise INTERMODAL_MAX_FORM_PARTS."
            )
        self._headers = {}
        self._data = Upload(self._spool_bytes)

    def on_header_begin(self) -> None:
        self._name = self._value = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.write(data[start:end])

    def on_part_end(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        if b"name" not in options:
            raise MalformedError("A part of the form has no name. Give each part one.")
        name = _utf8(options[b"name"], "name of a part")
        media_type = self._headers.get(b"content-type", b"").decode("latin-1")
        if b"filename" in options or modality_of(media_type):
            # What a file is called matters only by being there; any bytes will do.
            self.values.append((name, File(options.get(b"filename", b"").decode("latin-1"), self._data)))
        else:
            self.values.append((name, _utf8(self._data.read(), name)))

    def on_end(self) -> None:
        self.ended = True


def _malformed(error: FormParserError) -> MalformedError:
    return MalformedError(f"The body is not a multipart form: {error}.")


def _utf8(data: bytes, field: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError(f"{field}: not UTF-8. Send UTF-8.") from None
