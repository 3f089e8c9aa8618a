"""A gallery's file: connections that read what was committed, and one that writes.

Knows transactions; knows nothing of items."""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from retrieval.sqlite.changes import Changes
from retrieval.sqlite.faults import closed, told
from retrieval.sqlite.lock import FileLock
from retrieval.sqlite.schema import prepare, read_version
from retrieval.sqlite.turns import Turns, Waiting

T = TypeVar("T")
Job = Callable[[sqlite3.Connection, Changes], T]

BUSY_SECONDS = 5.0
MAX_GROUP = 64
"""Most writes that share one transaction, and so one wait for the disk."""

_CACHE_KIB = 65536  # of the writer
_READER_CACHE_KIB = 4096  # of each reader; the file system's cache is behind it
_MAX_LOG_BYTES = 64 << 20  # what is left of the log after a large transaction
_CHECKPOINT_PAGES = 4000  # 32 MB of log before it is written back


class GalleryFile:
    """Readers see the state of one moment each. Writers take turns, and those that wait go together."""

    def __init__(self, path: Path, model: str, on_commit: Callable[[Changes, int], None]) -> None:
        """Open the file, or make it.

        Args:
            path: `<name>.db`.
            model: of a gallery that is made.
            on_commit: gets what a transaction changed, and its number, before its writers hear of it.

        Raises:
            GalleryError: it cannot be opened.
        """
        self.path = path
        self._on_commit = on_commit
        self._turns = Turns(MAX_GROUP)
        self._readers: deque[sqlite3.Connection] = deque()
        self._closed = False
        with told(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_suffix(".lock"))
        try:
            self._writer = open_connection(path, create=True)
            with told(path):
                prepare(self._writer, path, model)
                self._writer.execute("PRAGMA synchronous = FULL")
                self._writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                self._writer.execute(f"PRAGMA journal_size_limit = {_MAX_LOG_BYTES}")
                self._writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        except BaseException:
            self._lock.release()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the state of one moment while the block lasts, from its first statement on.

        Raises:
            GalleryError: the file is closed, or cannot be read.
        """
        with self.connection() as db:
            db.execute("BEGIN")
            yield db

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of whose statements each sees what is committed by then.

        Raises:
            GalleryError: the file is closed, or cannot be read.
        """
        self.check_open()
        try:
            db = self._readers.pop()
        except IndexError:
            db = open_connection(self.path)
        try:
            with told(self.path):
                yield db
        finally:
            self._give_back(db)

    def check_open(self) -> None:
        """Raises GalleryError where the file is closed."""
        if self._closed:
            raise closed(self.path)

    def _give_back(self, db: sqlite3.Connection) -> None:
        try:
            if db.in_transaction:
                db.execute("COMMIT")
        except sqlite3.Error:
            db.close()
            return
        if self._closed:
            db.close()
        else:
            self._readers.append(db)

    def write(self, job: Job[T]) -> T:
        """Run a job in a transaction; when this returns, it is on the disk and `on_commit` has seen it.

        A job that raises has changed nothing, and those that share its transaction go on.

        Raises:
            GalleryError: it cannot be written now; nothing was.
        """
        result: T = self._turns.do(job, self._together)
        return result

    def still(self) -> AbstractContextManager[None]:
        """Nothing is written while the block lasts; within it, this may be asked for again."""
        return self._turns.alone()

    def _together(self, group: list[Waiting]) -> None:
        changes = Changes()
        done: list[tuple[Future[Any], Any]] = []
        try:
            self.check_open()
            with told(self.path):
                number = self._begin()
                for waiting in group:
                    self._run(waiting, changes, done)
                self._writer.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            for waiting in group:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
            return
        self._on_commit(changes, number)  # does not raise
        for future, result in done:
            future.set_result(result)

    def _begin(self) -> int:
        self._writer.execute("BEGIN IMMEDIATE")
        (number,) = self._writer.execute("UPDATE gallery SET changes = changes + 1 RETURNING changes").fetchone()
        return int(number)

    def _run(self, waiting: Waiting, changes: Changes, done: list[tuple[Future[Any], Any]]) -> None:
        own = Changes()
        self._writer.execute("SAVEPOINT job")
        try:
            result = waiting.job(self._writer, own)
        except Exception as error:
            if not self._writer.in_transaction:
                raise  # SQLite gave up the whole transaction
            self._writer.execute("ROLLBACK TO job")
            waiting.future.set_exception(_named(error, self.path))
        else:
            changes.join(own)
            done.append((waiting.future, result))
        self._writer.execute("RELEASE job")

    def _roll_back(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # closed, or rolled back by SQLite itself

    def close(self) -> None:
        """Let go of all connections and of the lock. Calls that are under way end as they would."""
        with self.still():
            if self._closed:
                return
            self._closed = True
            while self._readers:
                self._readers.pop().close()
            self._writer.close()
            self._lock.release()


def _named(error: Exception, path: Path) -> BaseException:
    try:
        with told(path):
            raise error
    except Exception as named:
        return named


def open_connection(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time, and that begins transactions only when told to.

    Raises:
        GalleryError: the file cannot be opened.
    """
    with told(path):
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A file that is there, as it is at one moment, while another process may have it open; None for an empty one.

    Raises:
        GalleryError: it is no gallery, or cannot be read.
    """
    db = open_connection(path)
    try:
        with told(path):
            db.execute("PRAGMA query_only = ON")
            if read_version(db, path):
                db.execute("BEGIN")
                yield db
            else:
                yield None
    finally:
        db.close()
