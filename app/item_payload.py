"""Raw fields to what is to be written into a gallery: an item, several, or one that is to go."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.fields import FieldReader, RawFields, object_fields
from app.payload import MODALITY_FIELDS, Inputs, read_inputs, required
from app.settings import Settings
from models.errors import InputError, TooLargeError
from retrieval.entries import check_item
from retrieval.item import Item

ITEM_FIELDS = (*MODALITY_FIELDS, "labels", "metadata")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ItemWrite:
    """An item to be written, whole."""

    id: str
    inputs: Inputs
    labels: Mapping[str, str | list[str]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemDeletion:
    """An item that is to go."""

    id: str


Change = ItemWrite | ItemDeletion


def read_item(fields: RawFields, settings: Settings, item_id: str) -> ItemWrite:
    """Check the fields of an item.

    Raises:
        InputError: an unknown field, a faulty value, or nothing that it could be found by.
        TooLargeError: labels and metadata of too many bytes.
    """
    return _item(FieldReader(fields, ITEM_FIELDS, settings), settings, item_id)


def read_items(fields: RawFields, settings: Settings) -> list[Change | Exception]:
    """Check what a batch is to change, each for itself: in order, a change or what is wrong with it.

    Raises:
        InputError: no list of items.
        TooLargeError: more items than the limit.
    """
    FieldReader(fields, ("items",), settings)
    items = fields.values.get("items")
    if not isinstance(items, list) or not items:
        raise InputError("items", "must be a list of at least one object, each with an id.")
    if len(items) > settings.max_items_per_batch:
        limit = settings.max_items_per_batch
        raise TooLargeError("items", f"{len(items):,} items; the limit is {limit:,}. Send several batches.")
    return [_change(item, settings) for item in items]


def _change(value: object, settings: Settings) -> Change | Exception:
    try:
        fields = RawFields(object_fields(value))
        reader = FieldReader(fields, ("id", "delete", *ITEM_FIELDS), settings)
        item_id = reader.text("id")
        if item_id is None:
            raise InputError("id", "is missing. Give each item one.")
        if not reader.boolean("delete", default=False):
            return _item(reader, settings, item_id)
        if more := sorted(fields.values.keys() - {"id", "delete"}):
            raise InputError(more[0], "given beside delete. An item is written or deleted, not both.")
        return ItemDeletion(item_id)
    except InputError as error:
        return error


def _item(reader: FieldReader, settings: Settings, item_id: str) -> ItemWrite:
    if item_id in (".", ".."):
        raise InputError("id", "must not be '.' or '..': clients take these out of a path. Choose another.")
    labels, metadata = _object(reader, "labels"), _object(reader, "metadata")
    write = ItemWrite(id=item_id, inputs=required(read_inputs(reader)), labels=labels, metadata=metadata)
    for name, value in labels.items():
        if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(p, str) for p in value)):
            raise InputError("labels", f"{name[:60]!r} must be a string or a list of strings.")
    try:
        check_item(Item(id=item_id, text=write.inputs.text, labels=labels, metadata=metadata))
    except ValueError as error:
        where, _, detail = str(error).rpartition(": ")
        raise InputError(_field_of(where), f"{detail}.") from None
    size = len(json.dumps([labels, metadata]))
    if size > (limit := settings.max_item_json_bytes):
        raise TooLargeError("metadata", f"{size:,} bytes with the labels; the limit is {limit:,}. Shorten it.")
    return write


def _object(reader: FieldReader, name: str) -> dict[str, Any]:
    value = reader.json(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(name, 'must be a JSON object, such as {"colour": "Red"}.')
    return value


def _field_of(where: str) -> str:
    """The request's field that a fault of `check_item` is about."""
    return next((name for name in ("metadata", "labels", "text") if f": {name}" in where), "id")


def read_gallery(fields: RawFields, settings: Settings) -> str | None:
    """Check the fields of a gallery that is to be made: the name of the model that it is of. Raises InputError."""
    return FieldReader(fields, ("model",), settings).text("model")
