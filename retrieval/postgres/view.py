"""A gallery in PostgreSQL, seen through one embedding."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrieval.entries import check_entries, check_vectors, is_id
from retrieval.errors import QueryError
from retrieval.exact import unit_query
from retrieval.gallery import DEFAULT_TARGET, Entry, Floats, Match, Pending, Query
from retrieval.item import Item
from retrieval.postgres.database import Database
from retrieval.postgres.schema import vectors_of
from retrieval.postgres.searching import COLUMNS, search, to_item
from retrieval.postgres.writing import Seat, Writing, as_vector

_WAITING = (
    "SELECT i.row, i.id, i.content, i.text, coalesce(m.data, t.data), r.data, s.data FROM intermodal.items i"
    " LEFT JOIN intermodal.images m USING (row) LEFT JOIN intermodal.thumbnails t USING (row)"
    " LEFT JOIN intermodal.recordings r USING (row) LEFT JOIN intermodal.readings s USING (row)"
    " WHERE i.gallery = %s AND NOT EXISTS"
    " (SELECT 1 FROM intermodal.embedded e WHERE e.embedding = %s AND e.row = i.row)"
)


class PostgresGallery:
    """Keeps `retrieval.gallery.WritableGallery`'s interface; made by `PostgresStore.open`."""

    def __init__(
        self, database: Database, gallery: int, seat: Seat, targets: Sequence[str], on_close: Callable[[], None]
    ) -> None:
        """See gallery number `gallery` through `seat`. `on_close` is called once."""
        self._database = database
        self._gallery = gallery
        self._seat = seat
        self._targets = tuple(sorted(targets, key=lambda target: (target != DEFAULT_TARGET, target)))
        self._on_close: Callable[[], None] | None = on_close

    @property
    def targets(self) -> tuple[str, ...]:
        """See `Gallery.targets`."""
        return self._targets

    @property
    def dimensions(self) -> int:
        """See `Gallery.dimensions`."""
        return self._seat.embedding.dimensions

    def __len__(self) -> int:
        with self._database.connection() as db:
            (count,) = db.execute(
                "SELECT count(*) FROM intermodal.items WHERE gallery = %s", (self._gallery,)
            ).fetchone()
        return int(count)

    def search(self, query_E: Floats, query: Query = Query()) -> list[Match]:  # noqa: B008 - immutable
        """See `Gallery.search`."""
        self._check_target(query.target)
        unit_E = unit_query(query_E, self.dimensions)
        with self._database.transaction() as db:
            return search(db, self._gallery, self._seat, unit_E, query)

    def get(self, item_id: str) -> Item | None:
        """See `Gallery.get`."""
        found = self._one(f"SELECT {COLUMNS} FROM intermodal.items i", item_id)  # noqa: S608
        return None if found is None else to_item(list(found))

    def page(self, *, limit: int, after: str | None = None) -> Sequence[Item]:
        """See `Gallery.page`."""
        start = (after or "").encode("utf-8", "replace").decode().replace("\0", "")
        with self._database.connection() as db:
            rows = db.execute(
                f"SELECT {COLUMNS} FROM intermodal.items i WHERE gallery = %s AND id > %s"  # noqa: S608
                " ORDER BY id LIMIT %s",
                (self._gallery, start, max(limit, 0)),
            ).fetchall()
        return [to_item(list(columns)) for columns in rows]

    def vector(self, item_id: str, target: str = DEFAULT_TARGET) -> Floats | None:
        """See `Gallery.vector`."""
        self._check_target(target)
        table = vectors_of(self.dimensions)
        found = self._one(
            f"SELECT v.data::text FROM intermodal.items i JOIN {table} v ON v.row = i.row"  # noqa: S608
            " AND v.embedding = %s AND v.target = %s",
            item_id,
            self._seat.number,
            target,
        )
        return None if found is None else as_vector(found[0])

    def image(self, item_id: str) -> bytes | None:
        """See `Gallery.image`."""
        found = self._one(
            "SELECT coalesce(m.data, t.data) FROM intermodal.items i LEFT JOIN intermodal.images m USING (row)"
            " LEFT JOIN intermodal.thumbnails t USING (row)",
            item_id,
        )
        return None if found is None or found[0] is None else bytes(found[0])

    def thumbnail(self, item_id: str) -> bytes | None:
        """See `Gallery.thumbnail`."""
        found = self._one("SELECT data FROM intermodal.items i JOIN intermodal.thumbnails USING (row)", item_id)
        return None if found is None else bytes(found[0])

    def audio(self, item_id: str) -> bytes | None:
        """See `Gallery.audio`."""
        found = self._one("SELECT data FROM intermodal.items i JOIN intermodal.recordings USING (row)", item_id)
        return None if found is None else bytes(found[0])

    def sensors(self, item_id: str) -> bytes | None:
        """See `Gallery.sensors`."""
        found = self._one("SELECT data FROM intermodal.items i JOIN intermodal.readings USING (row)", item_id)
        return None if found is None else bytes(found[0])

    def put(self, entries: Sequence[Entry]) -> list[bool]:
        """See `WritableGallery.put`."""
        checked = check_entries(entries, self._seat.embedding)
        last = {entry.item.id: entry for entry in checked}
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM intermodal.deletions WHERE gallery = %s AND id = ANY(%s)", (self._gallery, list(last))
            )
            news = Writing(db, self._gallery).put(last, self._seat, "user") if last else {}
        # Of equal ids only the first is new.
        return [news.pop(entry.item.id, False) for entry in checked]

    def delete(self, item_ids: Sequence[str]) -> list[bool]:
        """See `WritableGallery.delete`."""
        with self._database.transaction() as db:
            writing = Writing(db, self._gallery)
            gone = writing.remove({item_id for item_id in item_ids if is_id(item_id)})
            writing.deleted(gone)
        there = []
        for item_id in item_ids:
            there.append(item_id in gone)
            gone.discard(item_id)
        return there

    def pending(self, limit: int) -> Sequence[Pending]:
        """See `WritableGallery.pending`."""
        with self._database.connection() as db:
            rows = db.execute(
                f"{_WAITING} ORDER BY i.row LIMIT %s", (self._gallery, self._seat.number, max(limit, 0))
            ).fetchall()
        return [
            Pending(
                id=item_id,
                content=content,
                text=text,
                image=None if image is None else bytes(image),
                audio=None if audio is None else bytes(audio),
                sensors=None if sensors is None else bytes(sensors),
            )
            for _, item_id, content, text, image, audio, sensors in rows
        ]

    def fill(self, vectors: Mapping[str, Mapping[str, Floats]], contents: Mapping[str, int]) -> int:
        """See `WritableGallery.fill`."""
        units = {
            item_id: check_vectors(of_item, self._seat.embedding, f"item {item_id[:60]!r}")
            for item_id, of_item in vectors.items()
            if is_id(item_id)
        }
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT i.row, i.id, i.content FROM intermodal.items i WHERE i.gallery = %s AND i.id = ANY(%s)"
                " AND NOT EXISTS (SELECT 1 FROM intermodal.embedded e WHERE e.embedding = %s AND e.row = i.row)"
                " ORDER BY i.id FOR UPDATE",
                (self._gallery, list(units), self._seat.number),
            ).fetchall()
            wanted = {row: units[item_id] for row, item_id, content in rows if contents.get(item_id) == content}
            Writing(db, self._gallery).embed(self._seat, wanted)
        return len(wanted)

    def close(self) -> None:
        """See `WritableGallery.close`."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _one(self, statement: str, item_id: str, *values: object) -> tuple[Any, ...] | None:
        if not is_id(item_id):
            return None
        with self._database.connection() as db:
            found: tuple[Any, ...] | None = db.execute(
                f"{statement} WHERE i.gallery = %s AND i.id = %s", (*values, self._gallery, item_id)
            ).fetchone()
        return found

    def _check_target(self, target: str) -> None:
        if target not in self._targets:
            raise QueryError("target", f"no vectors named {target[:60]!r}. There are: {', '.join(self._targets)}.")
