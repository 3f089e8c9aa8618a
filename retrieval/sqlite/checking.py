"""Everything that a gallery's file must be, read through from end to end."""

import sqlite3
from collections.abc import Iterator

import numpy as np

from retrieval.content import content_of
from retrieval.entries import check_item
from retrieval.fields import explode
from retrieval.item import Item
from retrieval.sqlite.indexes import Moment
from retrieval.sqlite.row_index import GONE
from retrieval.sqlite.rows import COLUMNS, to_item, vectors_of_slot
from retrieval.sqlite.seats import Seat, read_seats

MAX_FAULTS = 100


def faults(db: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with the file, a sentence each; nothing where it is sound."""
    pages = [text for (text,) in db.execute(f"PRAGMA integrity_check({MAX_FAULTS})") if text != "ok"]
    if pages:
        yield from pages
        return  # what else is found would only follow from it
    for table, row, *_ in db.execute("PRAGMA foreign_key_check"):
        yield f"{table}: row {row} belongs to nothing"
    yield from _items(db)
    for seat in read_seats(db):
        yield from _vectors(db, seat)
    yield from _strays(db)


def _items(db: sqlite3.Connection) -> Iterator[str]:
    num_cells = 0
    for *columns, row, content, image, thumbnail, audio, sensors in db.execute(
        f"SELECT {COLUMNS}, items.row, content, images.data, thumbnails.data, recordings.data, readings.data"  # noqa: S608
        " FROM items LEFT JOIN images USING (row) LEFT JOIN thumbnails USING (row)"
        " LEFT JOIN recordings USING (row) LEFT JOIN readings USING (row)"
    ):
        where = f"item {columns[0]!r}"
        try:
            item = to_item(columns)
            check_item(item)
        except ValueError as error:
            yield f"{where}: {error}"
            continue
        if item.has_image != (image is not None or thumbnail is not None):
            yield f"{where}: its image is not as it says"
        if item.has_audio != (audio is not None):
            yield f"{where}: its recording is not as it says"
        if item.has_sensors != (sensors is not None):
            yield f"{where}: its readings are not as it says"
        if content != content_of(item.text, image, thumbnail, audio, sensors):
            yield f"{where}: text and files are not those that its vectors were made from"
        num_cells += len(explode(item))
        yield from _fields(db, item, row)
    (kept,) = db.execute("SELECT count(*) FROM fields").fetchone()
    if kept != num_cells:
        yield f"fields: {kept} rows, where labels and metadata give {num_cells}"


def _fields(db: sqlite3.Connection, item: Item, row: int) -> Iterator[str]:
    for cell in explode(item):
        found = db.execute(
            "SELECT 1 FROM fields WHERE path = ? AND kind = ? AND value = ? AND row = ?", (*cell, row)
        ).fetchone()
        if found is None:
            yield f"item {item.id!r}: {cell[0]} cannot be filtered by"


def _vectors(db: sqlite3.Connection, seat: Seat) -> Iterator[str]:
    embedded = {row for (row,) in db.execute("SELECT row FROM embedded WHERE embedding = ?", (seat.number,))}
    items = {row for (row,) in db.execute("SELECT row FROM items")}
    if not embedded <= items:
        yield f"embedding {seat.id}: {len(embedded - items)} embedded rows without an item"
    for target, slot in seat.slots.items():
        where = f"embedding {seat.id}, {target}"
        try:
            rows_n, vectors_NE = vectors_of_slot(db, slot, seat.dimensions, len(embedded))
        except ValueError:
            yield f"{where}: vectors of another length than {seat.dimensions}, or more than items"
            continue
        vectors_nE = vectors_NE[: len(rows_n)]
        if not set(rows_n.tolist()) <= embedded:
            yield f"{where}: vectors without an embedded item"
        norms_n = np.linalg.norm(vectors_nE, axis=1)
        bad = ~(np.abs(norms_n - 1.0) < 1e-3)  # not a number is bad, too
        if bad.any():
            yield f"{where}: {int(bad.sum())} vectors are not of unit norm"


def _strays(db: sqlite3.Connection) -> Iterator[str]:
    for what, sql in (
        (
            "vectors of no embedding",
            "SELECT count(*) FROM vectors WHERE key >> 40 NOT IN (SELECT slot FROM slots)",
        ),
        (
            "embedded rows of no embedding",
            "SELECT count(*) FROM embedded WHERE embedding NOT IN (SELECT number FROM embeddings)",
        ),
        ("deleted items that are there", "SELECT count(*) FROM deletions WHERE id IN (SELECT id FROM items)"),
        ("rows that will be used again", "SELECT count(*) FROM items, gallery WHERE row >= next_row"),
    ):
        (count,) = db.execute(sql).fetchone()
        if count:
            yield f"{count} {what}"


def index_faults(db: sqlite3.Connection, seat: Seat, moment: Moment) -> Iterator[str]:
    """Where indexes in memory differ from the file; both at the same change."""
    (most,) = db.execute("SELECT count(*) FROM embedded WHERE embedding = ?", (seat.number,)).fetchone()
    for target, slot in seat.slots.items():
        rows_n, vectors_NE = vectors_of_slot(db, slot, seat.dimensions, most)
        index = moment.by_target[target]
        places = np.flatnonzero(index.rows_n != GONE)
        places = places[np.argsort(index.rows_n[places])]
        same_rows = np.array_equal(index.rows_n[places], rows_n)
        if not same_rows or not np.array_equal(index.room_NE[places], vectors_NE[: len(rows_n)]):
            yield f"embedding {seat.id}, {target}: the index is not what the file has"
