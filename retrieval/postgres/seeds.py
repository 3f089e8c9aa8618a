"""What a seed brings into a gallery, beside what users wrote."""

from typing import Any

from retrieval.entries import check_item
from retrieval.errors import SeedError
from retrieval.gallery import Entry
from retrieval.postgres.writing import Seat, Writing
from retrieval.store import Seed


def bring(db: Any, gallery: int, seat: Seat, seed: Seed) -> None:
    """Merge a seed that is newer than those before; of another, give only the vectors that are missing.

    Within a transaction that holds the gallery's row.

    Raises:
        SeedError: an item that no gallery takes, or vectors of another length.
    """
    (version,) = db.execute(
        "SELECT seed_version FROM intermodal.galleries WHERE number = %s", (gallery,)
    ).fetchone()
    if seed.version > version:
        _merge(db, gallery, seat, seed)
    else:
        _embed(db, gallery, seat, seed)


def _merge(db: Any, gallery: int, seat: Seat, seed: Seed) -> None:
    """Add, replace and take away what older seeds brought; what users wrote or deleted stays so."""
    _check_dimensions(seat, seed)
    rows = db.execute("SELECT id, origin FROM intermodal.items WHERE gallery = %s", (gallery,)).fetchall()
    deleted = db.execute("SELECT id FROM intermodal.deletions WHERE gallery = %s", (gallery,)).fetchall()
    kept = {item_id for item_id, origin in rows if origin == "user"} | {item_id for (item_id,) in deleted}
    entries = {
        entry.item.id: _of_embedding(entry, seat) for entry in seed.items.entries() if entry.item.id not in kept
    }
    writing = Writing(db, gallery)
    writing.remove({item_id for item_id, origin in rows if origin == "seed"} - entries.keys())
    writing.put(entries, seat, "seed")
    db.execute("UPDATE intermodal.galleries SET seed_version = %s WHERE number = %s", (seed.version, gallery))


def _embed(db: Any, gallery: int, seat: Seat, seed: Seed) -> None:
    """The seed's vectors of those pending items that are still as the seed has them."""
    pending = {
        item_id: (row, content)
        for item_id, row, content in db.execute(
            "SELECT id, row, content FROM intermodal.items i WHERE gallery = %s AND NOT EXISTS"
            " (SELECT 1 FROM intermodal.embedded e WHERE e.embedding = %s AND e.row = i.row)",
            (gallery, seat.number),
        ).fetchall()
    }
    if not pending:
        return
    _check_dimensions(seat, seed)
    vectors = {}
    for entry in seed.items.entries():
        row, content = pending.get(entry.item.id, (None, None))
        if row is not None and content == entry.content:
            vectors[row] = _of_embedding(entry, seat).vectors
    Writing(db, gallery).embed(seat, vectors)


def _check_dimensions(seat: Seat, seed: Seed) -> None:
    given, wanted = seed.items.dimensions, seat.embedding.dimensions
    if given != wanted:
        raise SeedError(f"seed: vectors of {given} numbers, not {wanted}. Export it anew.")


def _of_embedding(entry: Entry, seat: Seat) -> Entry:
    try:
        check_item(entry.item)
    except ValueError as error:
        raise SeedError(f"seed: {error}. Export it anew.") from None
    targets = seat.embedding.targets
    vectors = {target: vector for target, vector in entry.vectors.items() if target in targets}
    return Entry(item=entry.item, vectors=vectors, thumbnail=entry.thumbnail)
