"""Fields as they came, and how each kind of value is read from them, by any of the three media types.

Knows kinds of values and their faults; knows no field by name."""

import binascii
import codecs
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import strict_json
from app.file_url import FileUrl, UrlError
from app.media import MEDIA
from app.remote_file import RemoteFile
from app.settings import Settings
from app.upload import Upload
from models.decode_sensors import decode_sensors
from models.errors import InputError, TooLargeError
from models.sample import Readings

_MAX_BYTES_PER_CHARACTER = 4  # of UTF-8


@dataclass(frozen=True, slots=True)
class File:
    """A part of a form that came as a file, or a bare body."""

    name: str
    data: Upload

    @property
    def absent(self) -> bool:
        """Whether it is what a browser sends for a file input that was left empty."""
        return not self.name and not len(self.data)


@dataclass(frozen=True, slots=True)
class RawFields:
    """Fields as they came, absent ones left out.

    values: a JSON value each, or a string or File from a form or a query.
    textual: whether numbers, booleans and objects came as strings.
    """

    values: dict[str, Any]
    textual: bool = False


def object_fields(value: object) -> dict[str, Any]:
    """The members of a JSON object, without the absent ones.

    Raises:
        InputError: it is no object.
    """
    if not isinstance(value, dict):
        raise InputError("body", 'must be a JSON object, such as {"text": "a red dress"}.')
    return {name: member for name, member in value.items() if member is not None and member != ""}


def single(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Pairs of a form or a query to a dict, without the absent ones.

    Raises:
        InputError: a name is there twice.
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if value == "" or (isinstance(value, File) and value.absent):
            continue
        if name in values:
            raise InputError(name, "given more than once. Send it once.")
        values[name] = value
    return values


class FieldReader:
    """Reads fields by name and kind; every fault is an InputError that names the field and the remedy."""

    def __init__(self, fields: RawFields, allowed: tuple[str, ...], settings: Settings) -> None:
        """Refuse fields that are not `allowed`, naming the nearest that is."""
        self._values = fields.values
        self._textual = fields.textual
        self._settings = settings
        for name in fields.values:
            if name not in allowed:
                near = difflib.get_close_matches(name[:100], allowed, n=1)  # of a long one, it takes seconds
                hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(allowed)}."
                raise InputError(name[:100], f"unknown field here. {hint}")

    def text(self, name: str) -> str | None:
        """A string of at most `max_text_characters`, or None."""
        value = self._values.get(name)
        if isinstance(value, File):
            value = self._text_of(name, value)
        if value is None:
            return None
        if not isinstance(value, str):
            raise InputError(name, f"must be a string, not {_kind(value)}.")
        limit = self._settings.max_text_characters
        if len(value) > limit:
            raise TooLargeError(name, f"{len(value):,} characters; the limit is {limit:,}. Shorten it.")
        return value

    def integer(self, name: str, default: int, *, least: int, most: int | None = None) -> int:
        """A whole number within limits."""
        value = self.json(name)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        wanted = f"a whole number of at least {least}" + ("" if most is None else f" and at most {most:,}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(name, f"must be {wanted}, not {_kind(value)}.")
        if value < least or (most is not None and value > most):
            raise InputError(name, f"must be {wanted}.")
        return value

    def number(self, name: str, default: float) -> float:
        """A number."""
        value = self.json(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(name, f"must be a number, not {_kind(value)}.")
        return float(min(max(value, -1e30), 1e30))

    def share(self, name: str) -> float | None:
        """A number between 0 and 1, without these two, or None."""
        if self.json(name) is None:
            return None
        value = self.number(name, 0.0)
        if not 0 < value < 1:  # NaN, which a query may hold, is neither
            raise InputError(name, "must be more than 0 and less than 1, such as 0.9.")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self.json(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InputError(name, f"must be true or false, not {_kind(value)}.")
        return value

    def strings(self, name: str) -> list[str] | None:
        """A string, or a list of them; by a form or a query, what is no list of JSON is one string."""
        value = self._values.get(name)
        if self._textual and not (isinstance(value, str) and value.lstrip().startswith("[")):
            value = self.text(name)
        else:
            value = self.json(name)
        if value is None:
            return None
        parts: list[Any] = value if isinstance(value, list) else [value]
        if not all(isinstance(part, str) for part in parts):
            raise InputError(name, "must be a string, or a list of strings.")
        return parts

    def vector(self, name: str) -> NDArray[np.float32] | None:
        """A list of numbers, as float32; the gallery checks its length."""
        value = self.json(name)
        if value is None:
            return None
        if not isinstance(value, list) or any(
            isinstance(x, bool) or not isinstance(x, int | float) for x in value
        ):
            raise InputError(name, "must be a list of numbers.")
        try:
            wide = np.array(value, dtype=np.float64)
        except OverflowError:
            raise InputError(name, "has a number that is too large.") from None
        return np.clip(wide, -3e38, 3e38).astype(np.float32)

    def readings(self, name: str) -> Readings | None:
        """Numbers, or lists of them, by channel, within the limits; None where there are only gaps."""
        value = self.json(name)
        limits = self._settings.decode_limits.sensors
        return None if value is None else decode_sensors(value, limits=limits, field=name)

    def json(self, name: str) -> object:
        """Any JSON value, which in forms and queries comes as text."""
        value = self._values.get(name)
        if isinstance(value, File):
            value = self._text_of(name, value)
        if value is None or not self._textual:
            return value
        value = value.strip()
        try:
            return strict_json.parse(
                value.lower() if value.lower() in ("true", "false") else value,
                self._settings.max_json_values,
                name,
            )
        except ValueError as error:
            raise InputError(name, f"{value[:60]!r} is not valid here ({error}). Write it as in JSON.") from None

    def file(self, name: str) -> Upload | None:
        """A file of at most so many bytes as its modality `name` may have; or one still elsewhere; or None."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, File):
            return self._checked(name, value.data)
        if self._textual:
            example = MEDIA[name].example
            raise InputError(name, f"must be a file. Send its contents, e.g. curl -F {example} (mind the @).")
        if isinstance(value, dict) and "url" in value:
            return self._file_by_url(name, value)
        if not isinstance(value, str):
            raise InputError(name, f"must be a string of base64 or a data: URI, not {_kind(value)}.")
        return self._checked(name, Upload.of(_decode_base64(name, value), self._settings.spool_bytes))

    def _file_by_url(self, name: str, value: dict[str, object]) -> RemoteFile:
        if not self._settings.allowed_hosts:
            raise InputError(name, "input by URL is switched off here. Send the file itself, as base64.")
        url = value["url"]
        if len(value) > 1 or not isinstance(url, str):
            raise InputError(name, 'an object has a URL and nothing more. Write {"url": "https://…"}.')
        try:
            parsed = FileUrl.parse(url)
            self._settings.allowed_hosts.check(parsed)
        except UrlError as error:
            raise InputError(name, str(error)) from None
        return RemoteFile(parsed, name, self._settings.spool_bytes)

    def _checked(self, name: str, data: Upload) -> Upload:
        if not len(data):
            raise InputError(name, f"the file is empty. Send {MEDIA[name].noun}, or leave the field out.")
        if len(data) > (limit := self._settings.max_file_bytes(name)):
            raise TooLargeError(name, f"{len(data):,} bytes; the limit is {limit:,}. Send a smaller file.")
        return data

    def _text_of(self, name: str, file: File) -> str:
        limit = self._settings.max_text_characters
        if len(file.data) > _MAX_BYTES_PER_CHARACTER * limit + len(codecs.BOM_UTF8):
            raise TooLargeError(name, f"more than {limit:,} characters, which is the limit. Shorten it.")
        try:
            text = file.data.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputError(name, "the file is not UTF-8 text. Send it as UTF-8.") from None
        if not text:
            raise InputError(name, "the file is empty. Send some text, or leave the field out.")
        return text


def _kind(value: object) -> str:
    kinds: Mapping[type, str] = {
        bool: "a boolean",
        dict: "an object",
        list: "a list",
        str: "a string",
        File: "a file",
    }
    return kinds.get(type(value), "a number")


def _decode_base64(name: str, value: str) -> bytes:
    if value[:5].lower() == "data:":
        head, comma, value = value.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InputError(name, "a data: URI must be data:<type>;base64,<data>.")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:  # binascii.Error is one; a character beyond ASCII is the plain kind
        raise InputError(name, f"not base64 ({error}). Use the standard alphabet, padded, on one line.") from None
