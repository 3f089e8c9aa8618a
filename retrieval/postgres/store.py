"""Galleries in a PostgreSQL database that has pgvector. Nothing of them is kept in the process."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from retrieval.entries import check_item, check_vectors
from retrieval.errors import GalleryError
from retrieval.gallery import Floats
from retrieval.postgres.database import Database
from retrieval.postgres.schema import make_vectors, vectors_of
from retrieval.postgres.searching import COLUMNS, make_graphs, to_item
from retrieval.postgres.seeds import bring
from retrieval.postgres.view import PostgresGallery
from retrieval.postgres.writing import Seat, Writing, as_vector, read_seats
from retrieval.store import NAME, Embedding, Seed
from retrieval.transfer import Description, Origin, Record

_PAGE_ITEMS = 200
_NUM_COLUMNS = COLUMNS.count(",") + 1


class PostgresStore:
    """Keeps `retrieval.store.Store`'s interface."""

    def __init__(self, url: str) -> None:
        """Keep galleries in the database at `url`; it is asked when it is first used."""
        self._database = Database(url)
        self._guard = threading.Lock()
        self._views: Counter[tuple[str, str]] = Counter()

    def models(self) -> dict[str, str]:
        """See `Store.models`."""
        with self._database.connection() as db:
            return dict(db.execute("SELECT name, model FROM intermodal.galleries ORDER BY name").fetchall())

    def open(self, name: str, embedding: Embedding, *, model: str, seed: Seed | None = None) -> PostgresGallery:
        """See `Store.open`."""
        _check_name(name)
        with self._database.connection() as db:
            make_vectors(db, embedding.dimensions)
        with self._database.transaction() as db:
            gallery = _take_gallery(db, name, model)
            seat = _take_seat(db, gallery, embedding)
            if seed is not None:
                bring(db, gallery, seat, seed)
        with self._database.connection() as db:
            make_graphs(db, seat)
        with self._guard:
            self._views[name, embedding.id] += 1
        return PostgresGallery(
            self._database, gallery, seat, embedding.targets, lambda: self._close_view(name, embedding.id)
        )

    def drop(self, name: str) -> bool:
        """See `Store.drop`."""
        _check_name(name)
        with self._database.transaction() as db:
            return bool(db.execute("DELETE FROM intermodal.galleries WHERE name = %s", (name,)).rowcount)

    def forget(self, name: str, embedding_id: str) -> int:
        """See `Store.forget`."""
        with self._database.transaction() as db:
            gallery = _number(db, name)
            if gallery is None:
                return 0
            seat = next((one for one in read_seats(db, gallery) if one.embedding.id == embedding_id), None)
            if seat is None:
                return 0
            count = Writing(db, gallery).clear(seat)
            with self._guard:
                if not self._views[name, embedding_id]:
                    db.execute("DELETE FROM intermodal.embeddings WHERE number = %s", (seat.number,))
            return count

    def describe(self, name: str) -> Description:
        """See `Transferable.describe`."""
        with self._database.transaction() as db:
            gallery = _some_number(db, name)
            model, seed_version = db.execute(
                "SELECT model, seed_version FROM intermodal.galleries WHERE number = %s", (gallery,)
            ).fetchone()
            deleted = db.execute(
                "SELECT id FROM intermodal.deletions WHERE gallery = %s ORDER BY id", (gallery,)
            ).fetchall()
            return Description(
                model=model,
                embeddings=tuple(seat.embedding for seat in read_seats(db, gallery)),
                seed_version=seed_version,
                deleted=tuple(item_id for (item_id,) in deleted),
            )

    def records(self, name: str, after: str | None = None) -> Iterator[Record]:
        """See `Transferable.records`."""
        while True:
            with self._database.transaction() as db:
                db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                page = _page(db, _some_number(db, name), after or "")
            if not page:
                return
            yield from page
            after = page[-1].item.id

    def receive(self, name: str, description: Description, records: Sequence[Record]) -> None:
        """See `Transferable.receive`."""
        _check_name(name)
        embeddings = {embedding.id: embedding for embedding in description.embeddings}
        for record in records:
            check_item(record.item)
            for embedding_id, vectors in record.vectors.items():
                check_vectors(vectors, embeddings[embedding_id], f"item {record.item.id[:60]!r}")
        for embedding in description.embeddings:
            with self._database.connection() as db:
                make_vectors(db, embedding.dimensions)
        with self._database.transaction() as db:
            gallery = _take_gallery(db, name, description.model)
            _receive(db, gallery, description, records)

    def close(self) -> None:
        """See `Store.close`."""
        self._database.close()

    def _close_view(self, name: str, embedding_id: str) -> None:
        with self._guard:
            self._views[name, embedding_id] -= 1


def _receive(db: Any, gallery: int, description: Description, records: Sequence[Record]) -> None:
    seats = {one.id: _take_seat(db, gallery, one) for one in description.embeddings}
    db.execute(
        "UPDATE intermodal.galleries SET seed_version = greatest(seed_version, %s) WHERE number = %s",
        (description.seed_version, gallery),
    )
    writing = Writing(db, gallery)
    origins: tuple[Origin, ...] = ("seed", "user")
    for origin in origins:
        of_origin = {record.item.id: record for record in records if record.origin == origin}
        places = writing.place(
            {item_id: record.without_vectors() for item_id, record in of_origin.items()},
            origin,
        )
        for embedding_id, seat in seats.items():
            writing.clear(seat, [place.row for place in places.values()])
            with_vectors = {item_id: one for item_id, one in of_origin.items() if embedding_id in one.vectors}
            writing.embed(
                seat, {places[item_id].row: one.vectors[embedding_id] for item_id, one in with_vectors.items()}
            )
    there = db.execute("SELECT id FROM intermodal.items WHERE gallery = %s", (gallery,)).fetchall()
    writing.deleted(set(description.deleted) - {item_id for (item_id,) in there})


def _page(db: Any, gallery: int, after: str) -> list[Record]:
    rows = db.execute(
        f"SELECT {COLUMNS}, i.row, i.origin, m.data, t.data, r.data, s.data FROM intermodal.items i"  # noqa: S608
        " LEFT JOIN intermodal.images m USING (row) LEFT JOIN intermodal.thumbnails t USING (row)"
        " LEFT JOIN intermodal.recordings r USING (row) LEFT JOIN intermodal.readings s USING (row)"
        " WHERE i.gallery = %s AND i.id > %s ORDER BY i.id LIMIT %s",
        (gallery, after, _PAGE_ITEMS),
    ).fetchall()
    vectors = _vectors(db, gallery, [columns[_NUM_COLUMNS] for columns in rows])
    return [
        Record(
            item=to_item(list(columns)),
            origin=origin,
            image=None if image is None else bytes(image),
            thumbnail=None if thumbnail is None else bytes(thumbnail),
            audio=None if audio is None else bytes(audio),
            sensors=None if sensors is None else bytes(sensors),
            vectors=vectors.get(row, {}),
        )
        for *columns, row, origin, image, thumbnail, audio, sensors in rows
    ]


def _vectors(db: Any, gallery: int, rows: Sequence[int]) -> dict[int, dict[str, dict[str, Floats]]]:
    found: dict[int, dict[str, dict[str, Floats]]] = {}
    for seat in read_seats(db, gallery):
        embedded = db.execute(
            "SELECT row FROM intermodal.embedded WHERE embedding = %s AND row = ANY(%s)", (seat.number, list(rows))
        )
        for (row,) in embedded.fetchall():
            found.setdefault(row, {})[seat.embedding.id] = {}
        table = vectors_of(seat.embedding.dimensions)
        kept = db.execute(
            f"SELECT row, target, data::text FROM {table} WHERE embedding = %s AND row = ANY(%s)",  # noqa: S608
            (seat.number, list(rows)),
        )
        for row, target, text in kept.fetchall():
            found[row][seat.embedding.id][target] = as_vector(text)
    return found


def _take_gallery(db: Any, name: str, model: str) -> int:
    """The number of a gallery, which is made where there is none. Its row is held until the transaction ends."""
    db.execute(
        "INSERT INTO intermodal.galleries (name, model) VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, model)
    )
    (number,) = db.execute(
        "SELECT number FROM intermodal.galleries WHERE name = %s FOR UPDATE", (name,)
    ).fetchone()
    return int(number)


def _take_seat(db: Any, gallery: int, embedding: Embedding) -> Seat:
    """The embedding's place in the gallery, which it is given where it has none.

    Raises:
        ValueError: its id is known with other dimensions.
    """
    known = next((one for one in read_seats(db, gallery) if one.embedding.id == embedding.id), None)
    if known is None:
        (number,) = db.execute(
            "INSERT INTO intermodal.embeddings (gallery, id, dimensions, targets) VALUES (%s, %s, %s, %s)"
            " RETURNING number",
            (gallery, embedding.id, embedding.dimensions, list(embedding.targets)),
        ).fetchone()
        return Seat(number, embedding)
    if known.embedding.dimensions != embedding.dimensions:
        raise ValueError(
            f"embedding {embedding.id[:60]!r}: known here with {known.embedding.dimensions} dimensions, "
            f"not {embedding.dimensions}"
        )
    more = [target for target in embedding.targets if target not in known.embedding.targets]
    targets = (*known.embedding.targets, *more)
    if more:
        db.execute(
            "UPDATE intermodal.embeddings SET targets = %s WHERE number = %s", (list(targets), known.number)
        )
    return Seat(known.number, Embedding(id=embedding.id, dimensions=embedding.dimensions, targets=targets))


def _number(db: Any, name: str) -> int | None:
    found = db.execute("SELECT number FROM intermodal.galleries WHERE name = %s", (name,)).fetchone()
    return None if found is None else int(found[0])


def _some_number(db: Any, name: str) -> int:
    number = _number(db, name)
    if number is None:
        raise GalleryError(f"{name[:60]}: no such gallery. Look for its name among those of the database.")
    return number


def _check_name(name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise ValueError(f"name: {name[:60]!r} must be 1 to 128 letters, digits, '_', '.' or '-', first no '.'")
