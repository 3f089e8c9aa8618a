"""A gallery in a file, seen through one embedding."""

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from retrieval.entries import check_entries, check_vectors, is_id
from retrieval.errors import QueryError
from retrieval.exact import unit_query
from retrieval.gallery import DEFAULT_TARGET, Entry, Floats, Match, Pending, Query
from retrieval.item import Item
from retrieval.sqlite.bulk import as_json
from retrieval.sqlite.changes import Changes
from retrieval.sqlite.faults import closed
from retrieval.sqlite.indexes import Indexes
from retrieval.sqlite.live import LiveGallery
from retrieval.sqlite.rows import (
    IMAGE,
    READINGS,
    RECORDING,
    THUMBNAIL,
    one_file,
    one_item,
    one_vector,
    page_of_items,
    rows_of,
)
from retrieval.sqlite.searching import search
from retrieval.sqlite.writing import Writing
from retrieval.store import Embedding

T = TypeVar("T")


class SqliteGallery:
    """Keeps `retrieval.gallery.WritableGallery`'s interface; made by `SqliteStore.open`."""

    def __init__(
        self, live: LiveGallery, indexes: Indexes, embedding: Embedding, on_close: Callable[[], None]
    ) -> None:
        """See a gallery that is open.

        Args:
            live: what all views of it share.
            indexes: those of the embedding.
            embedding: as it was asked for.
            on_close: called once, when this view is closed.
        """
        self._live = live
        self._indexes = indexes
        self._embedding = embedding
        self._on_close: Callable[[], None] | None = on_close

    @property
    def targets(self) -> tuple[str, ...]:
        """See `Gallery.targets`."""
        return tuple(sorted(self._embedding.targets, key=lambda target: (target != DEFAULT_TARGET, target)))

    @property
    def dimensions(self) -> int:
        """See `Gallery.dimensions`."""
        return self._embedding.dimensions

    def __len__(self) -> int:
        return self._live.num_items

    def search(self, query_E: Floats, query: Query = Query()) -> list[Match]:  # noqa: B008 - immutable
        """See `Gallery.search`."""
        self._check_target(query.target)
        unit_E = unit_query(query_E, self.dimensions)
        self._check_open()
        return search(self._live, self._indexes, unit_E, query)

    def get(self, item_id: str) -> Item | None:
        """See `Gallery.get`."""
        return self._read(lambda db: one_item(db, item_id)) if is_id(item_id) else None

    def page(self, *, limit: int, after: str | None = None) -> Sequence[Item]:
        """See `Gallery.page`."""
        return self._read(lambda db: page_of_items(db, limit, after))

    def vector(self, item_id: str, target: str = DEFAULT_TARGET) -> Floats | None:
        """See `Gallery.vector`."""
        self._check_target(target)
        slot = self._indexes.seat.slots[target]
        return self._read(lambda db: one_vector(db, slot, item_id)) if is_id(item_id) else None

    def image(self, item_id: str) -> bytes | None:
        """See `Gallery.image`."""
        return self._file(item_id, f"coalesce({IMAGE}, {THUMBNAIL})")

    def thumbnail(self, item_id: str) -> bytes | None:
        """See `Gallery.thumbnail`."""
        return self._file(item_id, THUMBNAIL)

    def audio(self, item_id: str) -> bytes | None:
        """See `Gallery.audio`."""
        return self._file(item_id, RECORDING)

    def sensors(self, item_id: str) -> bytes | None:
        """See `Gallery.sensors`."""
        return self._file(item_id, READINGS)

    def _file(self, item_id: str, kind: str) -> bytes | None:
        return self._read(lambda db: one_file(db, item_id, kind)) if is_id(item_id) else None

    def put(self, entries: Sequence[Entry]) -> list[bool]:
        """See `WritableGallery.put`."""
        checked = check_entries(entries, self._embedding)
        self._check_open()
        if not checked:
            return []
        last = {entry.item.id: entry for entry in checked}

        def job(db: sqlite3.Connection, changes: Changes) -> list[bool]:
            ids = as_json(last)
            seen = rows_of(db, ids).keys()
            db.execute("DELETE FROM deletions WHERE id IN (SELECT value FROM json_each(?))", (ids,))
            Writing(db, changes).put(last, self._indexes.seat, "user")
            return _first_times([entry.item.id for entry in checked], seen)

        return self._live.file.write(job)

    def delete(self, item_ids: Sequence[str]) -> list[bool]:
        """See `WritableGallery.delete`."""
        self._check_open()

        def job(db: sqlite3.Connection, changes: Changes) -> list[bool]:
            found = rows_of(db, as_json(filter(is_id, item_ids)))
            Writing(db, changes).remove(list(found.values()))
            db.execute("INSERT OR IGNORE INTO deletions (id) SELECT value FROM json_each(?)", (as_json(found),))
            return [found.pop(item_id, None) is not None for item_id in item_ids]

        return self._live.file.write(job)

    def pending(self, limit: int) -> Sequence[Pending]:
        """See `WritableGallery.pending`."""
        found = self._read(self._pending(limit))
        if found:
            # A row that is embedded stays so, and new rows are larger: what came before is not looked at again.
            self._indexes.pending_from = found[0][0]
        return [pending for _, pending in found]

    def _pending(self, limit: int) -> Callable[[sqlite3.Connection], list[tuple[int, Pending]]]:
        def read(db: sqlite3.Connection) -> list[tuple[int, Pending]]:
            rows = db.execute(
                f"SELECT row, id, content, text, coalesce({IMAGE}, {THUMBNAIL}), {RECORDING}, {READINGS}"  # noqa: S608
                " FROM items WHERE row >= ?"
                " AND NOT EXISTS (SELECT 1 FROM embedded WHERE embedding = ? AND embedded.row = items.row)"
                " ORDER BY row LIMIT ?",
                (self._indexes.pending_from, self._indexes.seat.number, max(limit, 0)),
            )
            return [
                (row, Pending(id=item_id, content=content, text=text, image=image, audio=audio, sensors=sensors))
                for row, item_id, content, text, image, audio, sensors in rows
            ]

        return read

    def fill(self, vectors: Mapping[str, Mapping[str, Floats]], contents: Mapping[str, int]) -> int:
        """See `WritableGallery.fill`."""
        units = {
            item_id: check_vectors(of_item, self._embedding, f"item {item_id[:60]!r}")
            for item_id, of_item in vectors.items()
            if is_id(item_id)
        }
        self._check_open()
        seat = self._indexes.seat

        def job(db: sqlite3.Connection, changes: Changes) -> int:
            rows = db.execute(
                "SELECT id, row, content FROM items WHERE id IN (SELECT value FROM json_each(?)) AND NOT EXISTS"
                " (SELECT 1 FROM embedded WHERE embedding = ? AND embedded.row = items.row)",
                (as_json(units), seat.number),
            ).fetchall()
            wanted = {row: units[item_id] for item_id, row, content in rows if contents.get(item_id) == content}
            Writing(db, changes).embed(seat, wanted)
            return len(wanted)

        return self._live.file.write(job)

    def close(self) -> None:
        """See `WritableGallery.close`."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        with self._live.file.connection() as db:
            return read(db)

    def _check_open(self) -> None:
        if self._on_close is None:
            raise closed(self._live.file.path)
        self._live.file.check_open()

    def _check_target(self, target: str) -> None:
        if target not in self._embedding.targets:
            raise QueryError("target", f"no vectors named {target[:60]!r}. There are: {', '.join(self.targets)}.")


def _first_times(item_ids: Sequence[str], known: Collection[str]) -> list[bool]:
    """For each id, whether it is neither known nor came before."""
    first = {item_id: number for number, item_id in reversed(list(enumerate(item_ids)))}
    return [item_id not in known and first[item_id] == number for number, item_id in enumerate(item_ids)]
