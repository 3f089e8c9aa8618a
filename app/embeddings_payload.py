"""Raw fields of /v1/embeddings to the items to be embedded: OpenAI's fields, and Infinity's `modality`.

An item is a string, or a content part as OpenAI's chats have them, or `{"content": [parts]}`, which is one item of
several modalities. Knows nothing of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.fields import FieldReader, RawFields
from app.media import MEDIA
from app.payload import MODALITY_FIELDS, Inputs, read_inputs, required
from app.settings import Settings
from models.errors import InputError, TooLargeError

EMBEDDINGS_FIELDS = ("model", "input", "encoding_format", "dimensions", "modality", "user")
ENCODINGS = ("float", "base64")
STRINGS = ("text", *MEDIA)
"""The modalities that strings in `input` may be of; readings of sensors are no strings."""

PARTS = {
    "text": "text",
    "input_text": "text",
    "image_url": "image",
    "input_image": "image",
    "audio_url": "audio",
    "input_audio": "audio",
    "sensors": "sensors",
}
"""What a content part may be by its `type`, and the modality of it."""

_NO_TOKENS = (
    "token arrays cannot be read: each model here has tokens of its own. Send strings; in LangChain, "
    "OpenAIEmbeddings(check_embedding_ctx_length=False)."
)
_REMEDY = 'Send a string, {"type": "image_url", "image_url": {"url": "data:…"}}, or {"content": [parts]}.'


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsRequest:
    """A checked request of /v1/embeddings.

    model: by name or name@version; None is the default.
    dimensions: None is all of them.
    """

    model: str | None
    items: Sequence[Inputs]
    as_base64: bool = False
    dimensions: int | None = None


def read_embeddings(fields: RawFields, settings: Settings) -> EmbeddingsRequest:
    """Check the fields of /v1/embeddings.

    Raises:
        InputError: an unknown field, a faulty value, or an item that is none; it names the row.
    """
    reader = FieldReader(fields, EMBEDDINGS_FIELDS, settings)
    modality = _one_of(reader, "modality", STRINGS, "text")
    encoding = _one_of(reader, "encoding_format", ENCODINGS, "float")
    reader.text("user")
    items = _items(fields.values.get("input"), settings)
    return EmbeddingsRequest(
        model=reader.text("model"),
        items=[
            _inputs(item, modality, in_row("input", row, len(items)), settings) for row, item in enumerate(items)
        ],
        as_base64=encoding == "base64",
        dimensions=reader.integer("dimensions", 0, least=1) or None,
    )


def in_row(field: str, row: int, num_rows: int) -> str:
    """The field, with the row, from 0, behind it where there are several."""
    return field if num_rows == 1 else f"{field}[{row}]"


def check_dimensions(dimensions: int | None, most: int) -> None:
    """Refuse more than a model's vectors have.

    Raises:
        InputError: there are not as many.
    """
    if dimensions is not None and dimensions > most:
        raise InputError("dimensions", f"must be at most {most}, the length of this model's vectors.")


def _one_of(reader: FieldReader, name: str, allowed: Sequence[str], default: str) -> str:
    value = reader.text(name) or default
    if value not in allowed:
        raise InputError(name, f"must be one of: {', '.join(allowed)}.")
    return value


def _items(value: object, settings: Settings) -> list[Any]:
    if value is None or value == []:
        raise InputError("input", f"is missing or empty. {_REMEDY}")
    items = value if isinstance(value, list) else [value]
    if all(_is_number(item) for item in items):
        raise InputError("input", _NO_TOKENS)
    if len(items) > settings.max_items_per_batch:
        limit = settings.max_items_per_batch
        raise TooLargeError("input", f"{len(items):,} items; the limit is {limit:,}. Send several batches.")
    return items


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inputs(item: object, modality: str, field: str, settings: Settings) -> Inputs:
    if isinstance(item, list) and all(_is_number(token) for token in item):
        raise InputError(field, _NO_TOKENS)
    if isinstance(item, str):
        values = {modality: _file(item) if modality in MEDIA else item}
    elif isinstance(item, dict) and isinstance(item.get("content"), list) and len(item) == 1:
        values = {}
        for part in item["content"]:
            name, value = _part(part, field)
            if name in values:
                raise InputError(field, f"has two parts of the modality {name}. An item has one of each at most.")
            values[name] = value
    else:
        values = dict([_part(item, field)])
    present = {name: value for name, value in values.items() if value != ""}
    try:
        return required(read_inputs(FieldReader(RawFields(present), MODALITY_FIELDS, settings)))
    except InputError as error:
        raise type(error)(field, error.detail) from None


def _part(part: object, field: str) -> tuple[str, Any]:
    """The modality of a content part, and its value as JSON has it elsewhere."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str) or kind not in PARTS:
        raise InputError(field, f"must be a string or a part of the type {', '.join(PARTS)}. {_REMEDY}")
    modality = PARTS[kind]
    value = part.get("image_url" if modality == "image" else "text" if modality == "text" else kind)
    if modality == "sensors":
        return modality, value
    if isinstance(value, Mapping):  # {"url": …}, or a recording's {"data": …, "format": …}
        value = value.get("url", value.get("data"))
    if not isinstance(value, str):
        raise InputError(field, f"a part of the type {kind} has no {modality} in it. {_REMEDY}")
    return modality, _file(value) if modality in MEDIA else value


def _file(value: str) -> str | dict[str, str]:
    return {"url": value} if value[:8].lower().startswith(("http://", "https://")) else value
