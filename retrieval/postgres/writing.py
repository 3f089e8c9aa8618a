"""One transaction's changes to a gallery. Ids are written in order, lest transactions wait in circles."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg.types.json import Json

from retrieval.fields import explode
from retrieval.gallery import Entry, Floats
from retrieval.postgres.schema import vectors_of
from retrieval.postgres.where import as_bytes, as_decimals
from retrieval.store import Embedding
from retrieval.transfer import Origin

_ITEM = """
INSERT INTO intermodal.items AS i (gallery, id, text, labels, metadata, has_image, has_audio, has_sensors, origin,
content) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (gallery, id) DO UPDATE SET
text = excluded.text, labels = excluded.labels, metadata = excluded.metadata, has_image = excluded.has_image,
has_audio = excluded.has_audio, has_sensors = excluded.has_sensors, origin = excluded.origin,
content = excluded.content RETURNING row, (xmax = 0)
"""

_FILES = ("images", "thumbnails", "recordings", "readings")
"""Tables of what is kept of an item as it was sent."""


@dataclass(frozen=True, slots=True)
class Seat:
    """An embedding of one gallery, by its number."""

    number: int
    embedding: Embedding


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item was written. changed: whether what its vectors are made from is another than before."""

    row: int
    is_new: bool
    changed: bool


class Writing:
    """Within one transaction on one gallery."""

    def __init__(self, db: Any, gallery: int) -> None:
        """Begin to write; the transaction is the caller's."""
        self._db = db
        self._gallery = gallery
        self.seats = read_seats(db, gallery)

    def put(self, entries: Mapping[str, Entry], seat: Seat, origin: Origin) -> dict[str, bool]:
        """Write entries, by id, with vectors of `seat`; others' stay where the content is equal. Which are new."""
        places = self.place(entries, origin)
        changed = [place.row for place in places.values() if place.changed]
        for other in self.seats:
            self.clear(other, [place.row for place in places.values()] if other.number == seat.number else changed)
        self.embed(seat, {places[item_id].row: entry.vectors for item_id, entry in entries.items()})
        return {item_id: place.is_new for item_id, place in places.items()}

    def place(self, entries: Mapping[str, Entry], origin: Origin) -> dict[str, Place]:
        """Write entries without their vectors."""
        ids = sorted(entries)
        before = dict(
            self._db.execute(
                "SELECT id, content FROM intermodal.items WHERE gallery = %s AND id = ANY(%s)"
                " ORDER BY id FOR UPDATE",
                (self._gallery, ids),
            ).fetchall()
        )
        places: dict[str, Place] = {}
        with self._db.cursor() as cursor:
            contents = {item_id: entries[item_id].content for item_id in ids}
            rows = [self._columns(entries[item_id], origin, contents[item_id]) for item_id in ids]
            if rows:
                cursor.executemany(_ITEM, rows, returning=True)
            for item_id in ids:
                row, is_new = cursor.fetchone()
                places[item_id] = Place(row, is_new, before.get(item_id) != contents[item_id])
                cursor.nextset()
        self._attach(entries, places)
        return places

    def _columns(self, entry: Entry, origin: Origin, content: int) -> tuple[Any, ...]:
        item = entry.item
        texts = (item.text, Json(dict(item.labels)), Json(dict(item.metadata)))
        has = (item.has_image, item.has_audio, item.has_sensors)
        return (self._gallery, item.id, *texts, *has, origin, content)

    def _attach(self, entries: Mapping[str, Entry], places: Mapping[str, Place]) -> None:
        """What is kept of the items in other tables, in place of what was."""
        rows = [place.row for place in places.values()]
        for table in ("fields", *_FILES):
            self._db.execute(f"DELETE FROM intermodal.{table} WHERE row = ANY(%s)", (rows,))  # noqa: S608
        cells: list[tuple[Any, ...]] = []
        files: dict[str, list[tuple[int, bytes]]] = {table: [] for table in _FILES}
        for item_id, entry in entries.items():
            row = places[item_id].row
            for path, kind, value in explode(entry.item):
                numbers = as_decimals(value) if kind == "n" else []
                kept = (numbers[0], None) if numbers else (None, as_bytes(value))
                cells.append((row, as_bytes(path), kind, *kept))
            if entry.image is not None:
                files["images"].append((row, entry.image))
            if entry.thumbnail is not None:
                files["thumbnails"].append((row, entry.thumbnail))
            if entry.audio is not None:
                files["recordings"].append((row, entry.audio))
            if entry.sensors is not None:
                files["readings"].append((row, entry.sensors))
        with self._db.cursor() as cursor:
            cursor.executemany("INSERT INTO intermodal.fields VALUES (%s, %s, %s, %s, %s)", cells)
            for table, found in files.items():
                cursor.executemany(f"INSERT INTO intermodal.{table} VALUES (%s, %s)", found)  # noqa: S608

    def embed(self, seat: Seat, vectors: Mapping[int, Mapping[str, Floats]]) -> None:
        """Write vectors, by row and target, and take the rows for embedded even where they have none."""
        found = [
            (seat.number, target, row, as_text(vector_E))
            for row, of_row in vectors.items()
            for target, vector_E in of_row.items()
        ]
        with self._db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO intermodal.embedded VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [(seat.number, row) for row in vectors],
            )
            cursor.executemany(
                f"INSERT INTO {vectors_of(seat.embedding.dimensions)} VALUES (%s, %s, %s, %s::vector)"  # noqa: S608
                " ON CONFLICT (embedding, target, row) DO UPDATE SET data = excluded.data",
                found,
            )

    def clear(self, seat: Seat, rows: Sequence[int] | None = None) -> int:
        """Delete an embedding's vectors of these rows, or of all; how many there were."""
        some = "" if rows is None else " AND row = ANY(%s)"
        values = (seat.number,) if rows is None else (seat.number, list(rows))
        table = vectors_of(seat.embedding.dimensions)
        count = self._db.execute(f"DELETE FROM {table} WHERE embedding = %s{some}", values).rowcount  # noqa: S608
        self._db.execute(f"DELETE FROM intermodal.embedded WHERE embedding = %s{some}", values)  # noqa: S608
        return int(count)

    def remove(self, item_ids: Iterable[str]) -> set[str]:
        """Delete items, with all that belongs to them; those that were there."""
        found = self._db.execute(
            "DELETE FROM intermodal.items WHERE row IN (SELECT row FROM intermodal.items WHERE gallery = %s"
            " AND id = ANY(%s) ORDER BY id FOR UPDATE) RETURNING id",
            (self._gallery, list(item_ids)),
        ).fetchall()
        return {item_id for (item_id,) in found}

    def deleted(self, item_ids: Iterable[str]) -> None:
        """Note that users deleted these, so that no seed brings them back."""
        with self._db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO intermodal.deletions VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [(self._gallery, item_id) for item_id in sorted(item_ids)],
            )


def read_seats(db: Any, gallery: int) -> list[Seat]:
    """The embeddings of a gallery."""
    rows = db.execute(
        "SELECT number, id, dimensions, targets FROM intermodal.embeddings WHERE gallery = %s ORDER BY number",
        (gallery,),
    ).fetchall()
    return [
        Seat(number, Embedding(id=name, dimensions=dimensions, targets=tuple(targets)))
        for number, name, dimensions, targets in rows
    ]


def as_text(vector_E: Floats) -> str:
    """A vector as pgvector reads it, to the last bit."""
    return f"[{','.join(map(repr, np.asarray(vector_E, np.float32).tolist()))}]"


def as_vector(text: str) -> Floats:
    """What `as_text` wrote."""
    return np.array(text[1:-1].split(","), np.float32)
