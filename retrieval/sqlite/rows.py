"""Items read from a gallery's file."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.gallery import Floats
from retrieval.item import Item
from retrieval.sqlite.schema import SLOT_SHIFT

COLUMNS = "id, text, labels, metadata, has_image, has_audio, has_sensors"
IMAGE = "(SELECT data FROM images WHERE images.row = items.row)"
_CHUNK = 4096  # vectors that are read at once
THUMBNAIL = "(SELECT data FROM thumbnails WHERE thumbnails.row = items.row)"
RECORDING = "(SELECT data FROM recordings WHERE recordings.row = items.row)"
READINGS = "(SELECT data FROM readings WHERE readings.row = items.row)"


def to_item(columns: Sequence[Any]) -> Item:
    """An item from what `COLUMNS` names."""
    item_id, text, labels, metadata, has_image, has_audio, has_sensors = columns
    return Item(
        id=item_id,
        text=text,
        labels=json.loads(labels),
        metadata=json.loads(metadata),
        has_image=bool(has_image),
        has_audio=bool(has_audio),
        has_sensors=bool(has_sensors),
    )


def items_by_row(db: sqlite3.Connection, rows: Sequence[int]) -> dict[int, Item]:
    """The items of those of the rows that are there."""
    # As one value: while others write, each row that is fetched is another wait for the interpreter's lock.
    (found,) = db.execute(
        "SELECT json_group_array(json_array(row, id, text, json(labels), json(metadata), has_image, has_audio,"
        " has_sensors)) FROM items"
        " WHERE row IN (SELECT value FROM json_each(?))",
        (json.dumps(rows),),
    ).fetchone()
    return {
        row: Item(
            id=item_id,
            text=text,
            labels=labels,
            metadata=metadata,
            has_image=bool(has_image),
            has_audio=bool(has_audio),
            has_sensors=bool(has_sensors),
        )
        for row, item_id, text, labels, metadata, has_image, has_audio, has_sensors in json.loads(found)
    }


def one_item(db: sqlite3.Connection, item_id: str) -> Item | None:
    """The item of an id."""
    columns = db.execute(f"SELECT {COLUMNS} FROM items WHERE id = ?", (item_id,)).fetchone()  # noqa: S608
    return None if columns is None else to_item(columns)


def page_of_items(db: sqlite3.Connection, limit: int, after: str | None) -> list[Item]:
    """Items in the order of their ids; SQLite compares UTF-8 by bytes, which is by code points."""
    found = db.execute(
        f"SELECT {COLUMNS} FROM items WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608
        ("" if after is None else after.encode("utf-8", "replace").decode(), max(limit, 0)),
    )
    return [to_item(columns) for columns in found]


def key_of(slot: int, row: int) -> int:
    """The key of a vector."""
    return slot << SLOT_SHIFT | row


def one_vector(db: sqlite3.Connection, slot: int, item_id: str) -> Floats | None:
    """An item's vector (E,)."""
    found = db.execute(
        "SELECT data FROM vectors WHERE key = (SELECT ? | row FROM items WHERE id = ?)",
        (key_of(slot, 0), item_id),
    ).fetchone()
    return None if found is None else np.frombuffer(found[0], np.float32)


def vectors_of_slot(
    db: sqlite3.Connection, slot: int, dimensions: int, most: int
) -> tuple[NDArray[np.int64], Floats]:
    """All rows (n,) of a target, ascending, and as many vectors in an array (N, E) that may have room for more.

    Args:
        db: where they are.
        slot: the target's.
        dimensions: E.
        most: how many there are at most. Memory beyond n is not touched.

    Raises:
        ValueError: a vector of another length, or more than `most`.
    """
    start = key_of(slot, 0)
    rows_N = np.empty(most, np.int64)
    vectors_NE = np.empty((most, dimensions), np.float32)
    found = db.execute(
        "SELECT key, data FROM vectors WHERE key >= ? AND key < ? ORDER BY key", (start, key_of(slot + 1, 0))
    )
    count = 0
    while some := found.fetchmany(_CHUNK):
        end = count + len(some)
        rows_N[count:end] = [key - start for key, _ in some]
        vectors_NE[count:end] = np.frombuffer(b"".join(data for _, data in some), np.float32).reshape(
            -1, dimensions
        )
        count = end
    return rows_N[:count], vectors_NE


def one_file(db: sqlite3.Connection, item_id: str, kind: str) -> bytes | None:
    """An item's file; kind: IMAGE, THUMBNAIL, RECORDING, READINGS, or an expression of them."""
    found = db.execute(f"SELECT {kind} FROM items WHERE id = ?", (item_id,)).fetchone()  # noqa: S608
    return None if found is None else found[0]


def rows_of(db: sqlite3.Connection, item_ids: str) -> dict[str, int]:
    """The rows of those of the ids, a JSON list, that are there."""
    (found,) = db.execute(
        "SELECT json_group_object(id, row) FROM items WHERE id IN (SELECT value FROM json_each(?))", (item_ids,)
    ).fetchone()
    rows: dict[str, int] = json.loads(found)
    return rows
