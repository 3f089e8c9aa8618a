"""What a seed brings into a gallery, beside what users wrote."""

import sqlite3

from retrieval.entries import check_item
from retrieval.errors import SeedError
from retrieval.gallery import Entry
from retrieval.sqlite.changes import Changes
from retrieval.sqlite.seats import Seat
from retrieval.sqlite.writing import Writing
from retrieval.store import Seed


def is_newer(db: sqlite3.Connection, seed: Seed) -> bool:
    """Whether the seed was not merged yet, nor a newer one."""
    (version,) = db.execute("SELECT seed_version FROM gallery").fetchone()
    return bool(seed.version > version)


def merge(db: sqlite3.Connection, changes: Changes, seat: Seat, seed: Seed) -> None:
    """Add, replace and take away what older seeds brought; what users wrote or deleted stays so.

    Raises:
        SeedError: an item that no gallery takes, or vectors of another length.
    """
    _check_dimensions(seat, seed)
    brought = dict(db.execute("SELECT id, row FROM items WHERE origin = 'seed'").fetchall())
    kept = {item_id for (item_id,) in db.execute("SELECT id FROM items WHERE origin = 'user'")}
    kept |= {item_id for (item_id,) in db.execute("SELECT id FROM deletions")}
    entries = {
        entry.item.id: _of_embedding(entry, seat) for entry in seed.items.entries() if entry.item.id not in kept
    }
    writing = Writing(db, changes)
    writing.remove([row for item_id, row in brought.items() if item_id not in entries])
    writing.put(entries, seat, "seed")
    db.execute("UPDATE gallery SET seed_version = ?", (seed.version,))


def embed(db: sqlite3.Connection, changes: Changes, seat: Seat, seed: Seed) -> None:
    """Give an embedding that is new here the seed's vectors of those items that are still as the seed has them.

    Raises:
        SeedError: as `merge` does.
    """
    _check_dimensions(seat, seed)
    pending = {
        item_id: (row, content)
        for item_id, row, content in db.execute(
            "SELECT id, row, content FROM items WHERE NOT EXISTS"
            " (SELECT 1 FROM embedded WHERE embedding = ? AND embedded.row = items.row)",
            (seat.number,),
        )
    }
    vectors = {}
    for entry in seed.items.entries() if pending else ():
        row, content = pending.get(entry.item.id, (None, None))
        if row is not None and content == entry.content:
            vectors[row] = _of_embedding(entry, seat).vectors
    Writing(db, changes).embed(seat, vectors)


def _check_dimensions(seat: Seat, seed: Seed) -> None:
    given = seed.items.dimensions
    if given != seat.dimensions:
        raise SeedError(f"seed: vectors of {given} numbers, not {seat.dimensions}. Export it anew.")


def _of_embedding(entry: Entry, seat: Seat) -> Entry:
    try:
        check_item(entry.item)
    except ValueError as error:
        raise SeedError(f"seed: {error}. Export it anew.") from None
    vectors = {target: vector for target, vector in entry.vectors.items() if target in seat.slots}
    return Entry(item=entry.item, vectors=vectors, thumbnail=entry.thumbnail)
