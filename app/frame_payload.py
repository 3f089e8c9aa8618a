"""A message of a stream of requests to raw fields: JSON, or a frame of JSON and the files behind it.

    4 bytes, the length of the JSON (big-endian) | the JSON | the files, one behind the other

`files` in the JSON has their lengths, by modality and in order; without it, what is behind it is the image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.body import parse_json
from app.errors import MalformedError
from app.fields import FieldReader, File, RawFields
from app.media import MEDIA
from app.settings import Settings
from app.upload import Upload
from models.errors import InputError

LENGTH_BYTES = 4
MAX_ID_CHARACTERS = 128
MAX_WAITING = 64


@dataclass(frozen=True, slots=True)
class Message:
    """One request: the id that its answer has too (None: it has none), and the fields of /predict.

    is_end: it says that no more comes.
    """

    id: str | int | None
    fields: RawFields
    is_end: bool = False


def read_waiting(values: Mapping[str, str], settings: Settings) -> int:
    """Of a stream's query, how many requests may wait beside the one that is being answered. Raises InputError."""
    reader = FieldReader(RawFields(dict(values), textual=True), ("waiting",), settings)
    return reader.integer("waiting", 1, least=1, most=MAX_WAITING)


def read_message(received: Mapping[str, Any], settings: Settings) -> Message:
    """Split a message of a socket into its fields, which are not checked yet.

    Raises:
        MalformedError: no JSON object, or a frame whose lengths are wrong.
        InputError: an id or lengths that are none, or a file that is there twice.
        TooLargeError: a JSON of too many values.
    """
    text, data = received.get("text"), received.get("bytes")
    head, rest = (text.encode(), b"") if text is not None else _frame(data or b"")
    fields = parse_json(head, settings.max_json_values)
    values = dict(fields.values)
    if values == {"type": "end"}:
        return Message(None, fields, is_end=True)
    found = values.pop("id", None)
    if isinstance(found, bool) or not isinstance(found, str | int | None) or len(str(found)) > MAX_ID_CHARACTERS:
        raise InputError("id", f"must be a string or a whole number, of at most {MAX_ID_CHARACTERS} characters.")
    for name, file in _files(values.pop("files", None), rest).items():
        if name in values:
            raise InputError(name, "given in the JSON and behind it. Send it once.")
        values[name] = File(name, Upload.of(file, settings.spool_bytes))
    return Message(found, RawFields(values))


def _frame(data: bytes) -> tuple[bytes, bytes]:
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big")
    if len(data) < LENGTH_BYTES or end > len(data):
        raise MalformedError(
            f"A binary message begins with the length of its JSON in {LENGTH_BYTES} bytes, big-endian, then the "
            f"JSON, then files. This one has {len(data):,} bytes, and needs {end:,}."
        )
    return data[LENGTH_BYTES:end], data[end:]


def _files(lengths: object, data: bytes) -> dict[str, bytes]:
    if lengths is None:
        return {"image": data} if data else {}
    example = 'Write, say, {"image": 5120, "audio": 3200}: bytes, in the order in which they come.'
    if not isinstance(lengths, dict) or not all(
        name in MEDIA and isinstance(length, int) and not isinstance(length, bool) and length > 0
        for name, length in lengths.items()
    ):
        raise InputError("files", f"must be an object of lengths by modality. {example}")
    if sum(lengths.values()) != len(data):
        raise InputError("files", f"are {sum(lengths.values()):,} bytes by their lengths, and {len(data):,} came.")
    found, start = {}, 0
    for name, length in lengths.items():
        found[name] = data[start : start + length]
        start += length
    return found
