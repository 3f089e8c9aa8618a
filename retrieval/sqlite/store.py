"""Galleries in a folder, one SQLite file each."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from retrieval.errors import GalleryError
from retrieval.sqlite.checking import MAX_FAULTS, faults
from retrieval.sqlite.copying import copy_file, describe, missing, page_of_records, receive
from retrieval.sqlite.faults import closed, told
from retrieval.sqlite.file import looking
from retrieval.sqlite.live import LiveGallery
from retrieval.sqlite.lock import FileLock
from retrieval.sqlite.view import SqliteGallery
from retrieval.store import NAME, Embedding, Seed
from retrieval.transfer import Description, Record

OLDEST = (3, 37)  # knows STRICT tables
_FILES = (".db", ".db-wal", ".db-shm", ".lock")


class SqliteStore:
    """Keeps `retrieval.store.Store`'s interface. The files are opened when they are first used."""

    def __init__(self, folder: Path) -> None:
        """Keep galleries as `folder/galleries/<name>.db`; the folder is made when something is written.

        Raises:
            GalleryError: Python came with a version of SQLite that is too old.
        """
        if sqlite3.sqlite_version_info < OLDEST:
            raise GalleryError(f"SQLite {sqlite3.sqlite_version} is too old. Install 3.37 or newer with Python.")
        self._folder = folder / "galleries"
        self._guard = threading.RLock()
        self._live: dict[str, LiveGallery] = {}
        self._views: Counter[tuple[str, str]] = Counter()
        self._closed = False

    def models(self) -> dict[str, str]:
        """See `Store.models`."""
        with self._guard:
            models = {path.stem: self._model_of(path) for path in sorted(self._folder.glob("*.db"))}
        return {name: model for name, model in models.items() if model is not None}

    def _model_of(self, path: Path) -> str | None:
        live = self._live.get(path.stem)
        if live is not None:
            return live.model
        with looking(path) as db:
            # Empty where a process was killed before it had made its tables.
            return None if db is None else str(db.execute("SELECT model FROM gallery").fetchone()[0])

    def open(self, name: str, embedding: Embedding, *, model: str, seed: Seed | None = None) -> SqliteGallery:
        """See `Store.open`."""
        with self._guard:
            live = self._opened(name, model)
            try:
                indexes = live.look_through(embedding, seed)
            except BaseException:
                self._close_unused(name)
                raise
            key = (name, embedding.id)
            self._views[key] += 1
            return SqliteGallery(live, indexes, embedding, lambda: self._close_view(key, live))

    def _opened(self, name: str, model: str) -> LiveGallery:
        path = self.path(name)
        if self._closed:
            raise closed(self._folder)
        if name not in self._live:
            self._live[name] = LiveGallery(path, model)
        return self._live[name]

    def _close_view(self, key: tuple[str, str], live: LiveGallery) -> None:
        with self._guard:
            name, embedding_id = key
            if self._live.get(name) is not live:
                return  # dropped meanwhile
            self._views[key] -= 1
            if self._views[key] == 0:
                del self._views[key]
                live.look_away(embedding_id)
                self._close_unused(name)

    def _close_unused(self, name: str) -> None:
        if not any(of == name for of, _ in self._views):
            self._live.pop(name).close()

    def drop(self, name: str) -> bool:
        """See `Store.drop`."""
        path = self.path(name)
        with self._guard:
            live = self._live.pop(name, None)
            for key in [key for key in self._views if key[0] == name]:
                del self._views[key]
            if live is not None:
                live.close()
            if not path.exists():
                return False
            lock = FileLock(path.with_suffix(".lock"))
            try:
                with told(path):
                    for suffix in _FILES:
                        path.with_name(name + suffix).unlink(missing_ok=True)
                    for graph in path.parent.glob(f"{name}.db-graph-*"):
                        graph.unlink(missing_ok=True)
            finally:
                lock.release()
            return True

    def forget(self, name: str, embedding_id: str) -> int:
        """See `Store.forget`."""
        with self._guard:
            if not self.path(name).exists():
                return 0
            live = self._opened(name, "")
            try:
                return live.forget(embedding_id)
            finally:
                self._close_unused(name)

    def verify(self, name: str) -> list[str]:
        """Read a gallery through. What is wrong with it, a sentence each; nothing where it is sound.

        Raises:
            GalleryError: there is none, or it cannot be opened at all.
        """
        with self._reading(name) as db:
            found: list[str] = []
            try:
                found.extend(islice(faults(db), MAX_FAULTS))
            except sqlite3.DatabaseError as error:  # what was found before it stands
                found.append(f"cannot be read further: {error}")
        live = self._live.get(name)
        return found if found or live is None else live.index_faults()

    def backup(self, name: str, target: Path) -> None:
        """Copy a gallery to a file, while it is used by this process or by another one.

        Raises:
            GalleryError: there is none, or a file cannot be read or written.
        """
        with self._reading(name) as db:
            copy_file(db, target)

    def describe(self, name: str) -> Description:
        """See `Transferable.describe`."""
        with self._reading(name) as db:
            return describe(db)

    def records(self, name: str, after: str | None = None) -> Iterator[Record]:
        """See `Transferable.records`."""
        while True:
            with self._reading(name) as db:
                page = page_of_records(db, after)
            if not page:
                return
            yield from page
            after = page[-1].item.id

    def receive(self, name: str, description: Description, records: Sequence[Record]) -> None:
        """See `Transferable.receive`."""
        with self._guard:
            live = self._opened(name, description.model)
        live.file.write(lambda db, changes: receive(db, changes, description, records))

    @contextmanager
    def _reading(self, name: str) -> Iterator[sqlite3.Connection]:
        path = self.path(name)
        live = self._live.get(name)
        if live is None and not path.exists():
            raise missing(path)
        with looking(path) if live is None else live.file.reading() as db:
            if db is None:
                raise missing(path)
            yield db

    def path(self, name: str) -> Path:
        """A gallery's file.

        Raises:
            ValueError: it cannot be a name.
        """
        if NAME.fullmatch(name) is None:
            raise ValueError(
                f"name: {name[:60]!r} must be 1 to 128 letters, digits, '_', '.' or '-', first no '.'"
            )
        return self._folder / f"{name}.db"

    def close(self) -> None:
        """See `Store.close`."""
        with self._guard:
            self._closed = True
            while self._live:
                self._live.popitem()[1].close()
            self._views.clear()
