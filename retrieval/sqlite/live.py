"""A gallery that is open: its file, and the indexes of the embeddings that it is seen through."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from retrieval.graph import Graph
from retrieval.sqlite.changes import Changes
from retrieval.sqlite.checking import index_faults
from retrieval.sqlite.faults import damaged
from retrieval.sqlite.file import GalleryFile
from retrieval.sqlite.graphs import Graphs
from retrieval.sqlite.indexes import Indexes, Moment
from retrieval.sqlite.merging import embed, is_newer, merge
from retrieval.sqlite.seats import Seat, read_seats, take_seat
from retrieval.sqlite.writing import Writing
from retrieval.store import Embedding, Seed

_LOG = logging.getLogger(__name__)

_TRIES = 20
APPLY_SECONDS = 1.0


class LiveGallery:
    """Shared by all views of it."""

    def __init__(self, path: Path, model: str) -> None:
        """Open the file, or make it for `model`.

        Raises:
            GalleryError: it cannot be opened.
        """
        self._indexes: dict[str, Indexes] = {}
        self._graphs = Graphs(path)
        self.num_items = 0
        self.file = GalleryFile(path, model, self._follow)
        try:
            with self.file.reading() as db:
                self.model = str(db.execute("SELECT model FROM gallery").fetchone()[0])
                (self.num_items,) = db.execute("SELECT count(*) FROM items").fetchone()
        except BaseException:
            self.file.close()
            raise

    def look_through(self, embedding: Embedding, seed: Seed | None) -> Indexes:
        """The indexes of an embedding, which is made known to the file, after a seed that is newer was merged.

        Raises:
            ValueError: its id is known with other dimensions.
            SeedError: the seed cannot be merged.
            GalleryError: the file cannot be read or written.
        """
        with self.file.reading() as db:
            place = next((one for one in read_seats(db) if one.embedding_is(embedding)), None)
            stale = seed is not None and is_newer(db, seed)
        if place is None or stale:
            place = self.file.write(lambda db, changes: _arrange(db, changes, embedding, seed))
        known = self._indexes.get(embedding.id)
        if known is not None and known.seat == place:
            return known
        with self.file.still():
            indexes = known or Indexes(place, self._graphs)
            indexes.seat = place
            self._load(indexes)
            self._indexes[embedding.id] = indexes
        self._consider(indexes)
        return indexes

    def _consider(self, indexes: Indexes) -> None:
        """Have graphs built where they are lacking."""
        moment = indexes.moment
        for target, index in ({} if moment is None else moment.by_target).items():
            slot = indexes.seat.slots[target]
            self._graphs.consider(slot, index, partial(self._attach, indexes, target))

    def _attach(self, indexes: Indexes, target: str, graph: Graph) -> None:
        with self.file.still():
            indexes.attach(target, graph)

    def _load(self, indexes: Indexes) -> Moment:
        with self.file.still(), self.file.reading() as db:
            try:
                return indexes.load(db)
            except ValueError:
                raise damaged(self.file.path, "vectors of another length") from None

    def look_away(self, embedding_id: str) -> None:
        """No view of the embedding is open any more: its indexes take no memory."""
        with self.file.still():
            self._indexes.pop(embedding_id, None)

    def forget(self, embedding_id: str) -> int:
        """Delete an embedding's vectors; how many there were."""
        seen_through = embedding_id in self._indexes

        def job(db: sqlite3.Connection, changes: Changes) -> int:
            place = next((one for one in read_seats(db) if one.id == embedding_id), None)
            return 0 if place is None else Writing(db, changes).forget(place, leave=not seen_through)

        with self.file.reading() as db:
            slots = [slot for one in read_seats(db) if one.id == embedding_id for slot in one.slots.values()]
        count = self.file.write(job)
        self._graphs.forget(slots)
        return count

    def index_faults(self) -> list[str]:
        """Where the indexes differ from the file."""
        with self.file.still(), self.file.reading() as db:
            return [
                fault
                for indexes in self._indexes.values()
                for fault in index_faults(db, indexes.seat, self.newest(indexes))
            ]

    @contextmanager
    def moment(self, indexes: Indexes) -> Iterator[tuple[sqlite3.Connection, Moment]]:
        """A connection and indexes that show the same state.

        Raises:
            GalleryError: the file cannot be read.
        """
        for _ in range(_TRIES):
            with self.file.reading() as db:
                (number,) = db.execute("SELECT changes FROM gallery").fetchone()
                moment = self.newest(indexes)
                if moment.number == number:
                    yield db, moment
                    return
            # Between a commit and its way into the indexes; or a commit came in between.
            if not indexes.wait(number, APPLY_SECONDS):
                break
        with self.file.still(), self.file.reading() as db:
            yield db, self._load(indexes)

    def newest(self, indexes: Indexes) -> Moment:
        """The indexes as they are now."""
        moment = indexes.moment
        if moment is None:
            with self.file.still():
                moment = indexes.moment or self._load(indexes)
        return moment

    def leave_behind(self, indexes: Indexes, moment: Moment) -> None:
        """Wait until the indexes have left a moment; where nothing comes, they are loaded anew."""
        if not indexes.wait(moment.number + 1, APPLY_SECONDS):
            with self.file.still():
                if indexes.moment is moment:
                    self._load(indexes)

    def _follow(self, changes: Changes, number: int) -> None:
        self.num_items += changes.num_items
        for indexes in self._indexes.values():
            try:
                indexes.apply(changes, number)
                self._consider(indexes)
            except Exception:
                # The change is committed and must be answered so; the next search loads them anew.
                _LOG.exception("%s: indexes are loaded anew", self.file.path)
                indexes.lose()

    def close(self) -> None:
        """Let go of the file."""
        self._graphs.close()
        self.file.close()


def _arrange(db: sqlite3.Connection, changes: Changes, embedding: Embedding, seed: Seed | None) -> Seat:
    place = take_seat(db, embedding)
    if seed is not None:
        (merge if is_newer(db, seed) else embed)(db, changes, place, seed)
    return place
