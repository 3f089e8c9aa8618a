"""One transaction's changes to items, vectors and fields.

An item that is written gets a new row, and a row is never used twice: what a row holds never changes, so that a
reader who finds a vector's row in the file has the very item that the vector is of."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

from retrieval.fields import Cell, explode
from retrieval.gallery import Entry, Floats
from retrieval.sqlite.bulk import as_json, insert
from retrieval.sqlite.changes import Changes
from retrieval.sqlite.rows import items_by_row, key_of
from retrieval.sqlite.seats import Seat, read_seats
from retrieval.transfer import Origin

_SOME = "(SELECT value FROM json_each(?))"
_MOVES = "(SELECT value ->> 0 AS old, value ->> 1 AS new FROM json_each(?2)) AS move"


class Writing:
    """Within one transaction. `changes` is told of every vector that comes or goes."""

    def __init__(self, db: sqlite3.Connection, changes: Changes) -> None:
        """Begin to write; the transaction is the caller's."""
        self._db = db
        self._changes = changes
        self.seats = read_seats(db)
        self._number, self._next_row = db.execute("SELECT changes, next_row FROM gallery").fetchone()

    def put(self, entries: Mapping[str, Entry], seat: Seat, origin: Origin) -> None:
        """Write entries, by id, with vectors of `seat`; those of other embeddings stay where content is equal."""
        rows = self.replace(
            entries, origin, carried=[other for other in self.seats if other.number != seat.number]
        )
        self.embed(seat, {rows[item_id]: entry.vectors for item_id, entry in entries.items()})

    def replace(self, entries: Mapping[str, Entry], origin: Origin, carried: Sequence[Seat]) -> dict[str, int]:
        """Write entries without their vectors. Returns the row of each.

        Args:
            entries: by id.
            origin: of all of them.
            carried: embeddings whose vectors stay where the content is equal.
        """
        rows = dict(zip(entries, self._take_rows(len(entries)), strict=True))
        contents = {item_id: entry.content for item_id, entry in entries.items()}
        (found,) = self._db.execute(
            "SELECT json_group_array(json_array(id, row, content)) FROM items"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (as_json(entries),),
        ).fetchone()
        old = json.loads(found)
        self._carry(
            [(row, rows[item_id]) for item_id, row, content in old if content == contents[item_id]], carried
        )
        self.remove([row for _, row, _ in old])
        self._place(entries, rows, contents, origin)
        return rows

    def _take_rows(self, count: int) -> range:
        rows = range(self._next_row, self._next_row + count)
        self._next_row = rows.stop
        self._db.execute("UPDATE gallery SET next_row = ?", (rows.stop,))
        return rows

    def _carry(self, moves: Sequence[tuple[int, int]], seats: Iterable[Seat]) -> None:
        """Take vectors from old rows to new ones."""
        pairs = as_json(moves)
        for seat in seats if moves else ():
            self._db.execute(
                f"UPDATE embedded SET row = move.new, changed = ?1 FROM {_MOVES}"  # noqa: S608
                " WHERE embedding = ?3 AND row = move.old",
                (self._number, pairs, seat.number),
            )
            for slot in seat.slots.values():
                self._db.execute(
                    f"UPDATE vectors SET key = ?1 + move.new FROM {_MOVES} WHERE key = ?1 + move.old",  # noqa: S608
                    (key_of(slot, 0), pairs),
                )
                self._changes.move(slot, moves)

    def _place(
        self, entries: Mapping[str, Entry], rows: Mapping[str, int], contents: Mapping[str, int], origin: Origin
    ) -> None:
        items, cells = [], []
        files: dict[str, list[tuple[int, bytes]]] = {
            name: [] for name in ("images", "thumbnails", "recordings", "readings")
        }
        for item_id, entry in entries.items():
            item, row = entry.item, rows[item_id]
            labels, metadata = _object(item.labels), _object(item.metadata)
            has = (item.has_image, item.has_audio, item.has_sensors)
            items.append((row, item_id, item.text, labels, metadata, *has, origin, contents[item_id]))
            cells += [(*cell, row) for cell in explode(item)]
            for table, data in (
                ("images", entry.image),
                ("thumbnails", entry.thumbnail),
                ("recordings", entry.audio),
                ("readings", entry.sensors),
            ):
                if data is not None:
                    files[table].append((row, data))
        columns = "row, id, text, labels, metadata, has_image, has_audio, has_sensors, origin, content"
        insert(self._db, "items", columns, items)
        insert(self._db, "fields", "path, kind, value, row", sorted(cells, key=itemgetter(0, 1)))
        for table, written in files.items():
            insert(self._db, table, "row, data", written)
        self._changes.num_items += len(items)

    def embed(self, seat: Seat, vectors: Mapping[int, Mapping[str, Floats]]) -> None:
        """Write vectors, by row and target, and take the rows for embedded even where they have none."""
        self._db.execute(
            "INSERT INTO embedded (embedding, row, changed) SELECT ?, value, ? FROM json_each(?)",
            (seat.number, self._number, as_json(vectors)),
        )
        by_slot: dict[int, list[tuple[int, bytes]]] = {slot: [] for slot in seat.slots.values()}
        for row, of_row in vectors.items():
            for target, vector_E in of_row.items():
                slot = seat.slots[target]
                by_slot[slot].append((key_of(slot, row), vector_E.tobytes()))
                self._changes.add(slot, row, vector_E)
        for written in by_slot.values():
            insert(self._db, "vectors", "key, data", written)

    def remove(self, rows: Sequence[int]) -> None:
        """Take items away, with all that belongs to them."""
        if not rows:
            return
        some = as_json(rows)
        by_cell: dict[Cell, list[int]] = {}
        for row, item in items_by_row(self._db, rows).items():
            for cell in explode(item):
                by_cell.setdefault(cell, []).append(row)
        self._db.executemany(
            f"DELETE FROM fields WHERE path = ? AND kind = ? AND value = ? AND row IN {_SOME}",  # noqa: S608
            [(*cell, as_json(of_cell)) for cell, of_cell in by_cell.items()],
        )
        for seat in self.seats:
            self._db.execute(
                f"DELETE FROM embedded WHERE embedding = ? AND row IN {_SOME}",  # noqa: S608
                (seat.number, some),
            )
            for slot in seat.slots.values():
                self._db.execute(
                    "DELETE FROM vectors WHERE key IN (SELECT ? + value FROM json_each(?))",
                    (key_of(slot, 0), some),
                )
        self._db.execute(f"DELETE FROM items WHERE row IN {_SOME}", (some,))  # noqa: S608
        self._changes.removed += rows
        self._changes.num_items -= len(rows)

    def forget(self, seat: Seat, *, leave: bool) -> int:
        """Delete the vectors of an embedding; how many there were. `leave`: it gives up its seat as well."""
        count = 0
        for slot in seat.slots.values():
            ends = (key_of(slot, 0), key_of(slot + 1, 0))
            count += self._db.execute("DELETE FROM vectors WHERE key >= ? AND key < ?", ends).rowcount
            self._changes.forgotten.add(slot)
        self._db.execute("DELETE FROM embedded WHERE embedding = ?", (seat.number,))
        if leave:
            self._db.execute("DELETE FROM embeddings WHERE number = ?", (seat.number,))
        return count


def _object(value: Mapping[str, object]) -> str:
    return json.dumps(dict(value), ensure_ascii=False, separators=(",", ":"))
