"""A gallery's file as a whole: a copy of it while it is used, and its contents on the way to another store."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from retrieval.entries import check_item, check_vectors
from retrieval.errors import GalleryError
from retrieval.gallery import Floats
from retrieval.sqlite.changes import Changes
from retrieval.sqlite.faults import told
from retrieval.sqlite.rows import COLUMNS, key_of, to_item
from retrieval.sqlite.seats import Seat, read_seats, take_seat
from retrieval.sqlite.writing import Writing
from retrieval.transfer import Description, Record

PAGE_ITEMS = 200


def copy_file(source: sqlite3.Connection, target: Path) -> None:
    """Copy a gallery, as it is at one moment, to a file that appears whole and replaces one of that name.

    Raises:
        GalleryError: it cannot be read or written.
    """
    part = target.with_name(target.name + ".part")
    with told(target):
        part.unlink(missing_ok=True)
        try:
            destination = sqlite3.connect(part)
            try:
                source.backup(destination)  # in one step: with several, a write in between would begin it anew
            finally:
                destination.close()
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def describe(db: sqlite3.Connection) -> Description:
    """See `Transferable.describe`."""
    model, seed_version = db.execute("SELECT model, seed_version FROM gallery").fetchone()
    return Description(
        model=model,
        embeddings=tuple(seat.embedding for seat in read_seats(db)),
        seed_version=seed_version,
        deleted=tuple(item_id for (item_id,) in db.execute("SELECT id FROM deletions ORDER BY id")),
    )


def page_of_records(db: sqlite3.Connection, after: str | None) -> list[Record]:
    """The next records in the order of their ids; none at the end."""
    seats = read_seats(db)
    rows = db.execute(
        f"SELECT {COLUMNS}, items.row, origin, images.data, thumbnails.data, recordings.data, readings.data"  # noqa: S608
        " FROM items"
        " LEFT JOIN images USING (row) LEFT JOIN thumbnails USING (row) LEFT JOIN recordings USING (row)"
        " LEFT JOIN readings USING (row)"
        " WHERE id > ? ORDER BY id LIMIT ?",
        (after or "", PAGE_ITEMS),
    ).fetchall()
    return [
        Record(
            item=to_item(columns),
            origin=origin,
            image=image,
            thumbnail=thumbnail,
            audio=audio,
            sensors=sensors,
            vectors=dict(_vectors(db, seats, row)),
        )
        for *columns, row, origin, image, thumbnail, audio, sensors in rows
    ]


def _vectors(db: sqlite3.Connection, seats: Sequence[Seat], row: int) -> Iterator[tuple[str, dict[str, Floats]]]:
    for seat in seats:
        if db.execute("SELECT 1 FROM embedded WHERE embedding = ? AND row = ?", (seat.number, row)).fetchone():
            found = (
                (target, db.execute("SELECT data FROM vectors WHERE key = ?", (key_of(slot, row),)).fetchone())
                for target, slot in seat.slots.items()
            )
            yield (
                seat.id,
                {target: np.frombuffer(data[0], np.float32) for target, data in found if data is not None},
            )


def receive(db: sqlite3.Connection, changes: Changes, description: Description, records: Sequence[Record]) -> None:
    """Write records as they are, in the transaction of `db`.

    Raises:
        ValueError: a record that no gallery takes.
    """
    embeddings = {embedding.id: embedding for embedding in description.embeddings}
    for record in records:
        check_item(record.item)
        for embedding_id, vectors in record.vectors.items():
            check_vectors(vectors, embeddings[embedding_id], f"item {record.item.id[:60]!r}")
    seats = {embedding.id: take_seat(db, embedding) for embedding in description.embeddings}
    db.execute("UPDATE gallery SET seed_version = max(seed_version, ?)", (description.seed_version,))
    writing = Writing(db, changes)
    for origin in ("seed", "user"):
        of_origin = {record.item.id: record for record in records if record.origin == origin}
        rows = writing.replace(
            {item_id: record.without_vectors() for item_id, record in of_origin.items()},
            origin,
            carried=[],
        )
        for embedding_id, seat in seats.items():
            writing.embed(
                seat,
                {
                    rows[item_id]: record.vectors[embedding_id]
                    for item_id, record in of_origin.items()
                    if embedding_id in record.vectors
                },
            )
    db.executemany(
        "INSERT OR IGNORE INTO deletions (id) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM items WHERE id = ?)",
        [(item_id, item_id) for item_id in description.deleted],
    )


def missing(path: Path) -> GalleryError:
    """The error of a gallery that is not there."""
    return GalleryError(f"{path}: no such gallery. Look for its name among those of the folder.")
