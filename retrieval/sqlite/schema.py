"""The tables of a gallery's file, and how an older file becomes a newer one."""

import sqlite3
from pathlib import Path

from retrieval.errors import GalleryError
from retrieval.sqlite.faults import damaged

APPLICATION_ID = 0x494D4741  # "IMGA"
PAGE_BYTES = 8192  # seven vectors of 256 numbers to a page; of 4,096 bytes a quarter would be empty
SLOT_SHIFT = 40
"""A vector's key is `slot << 40 | row`: the vectors of one target lie together, in the order of their rows."""

_FIRST = """
CREATE TABLE gallery (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    model TEXT NOT NULL,
    seed_version INTEGER NOT NULL DEFAULT 0,
    changes INTEGER NOT NULL DEFAULT 0,
    next_row INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE embeddings (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    dimensions INTEGER NOT NULL
) STRICT;
CREATE TABLE slots (
    slot INTEGER PRIMARY KEY AUTOINCREMENT,
    embedding INTEGER NOT NULL REFERENCES embeddings (number) ON DELETE CASCADE,
    target TEXT NOT NULL,
    UNIQUE (embedding, target)
) STRICT;
CREATE TABLE items (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    text TEXT,
    labels TEXT NOT NULL,
    metadata TEXT NOT NULL,
    has_image INTEGER NOT NULL CHECK (has_image IN (0, 1)),
    origin TEXT NOT NULL CHECK (origin IN ('seed', 'user')),
    content INTEGER NOT NULL
) STRICT;
CREATE TABLE images (
    row INTEGER PRIMARY KEY REFERENCES items (row) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE thumbnails (
    row INTEGER PRIMARY KEY REFERENCES items (row) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE vectors (
    key INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE embedded (
    embedding INTEGER NOT NULL,
    row INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (embedding, row)
) STRICT, WITHOUT ROWID;
CREATE TABLE fields (
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    value ANY NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (path, kind, value, row)
) STRICT, WITHOUT ROWID;
CREATE TABLE deletions (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
"""

_RECORDINGS = """
ALTER TABLE items ADD COLUMN has_audio INTEGER NOT NULL DEFAULT 0 CHECK (has_audio IN (0, 1));
CREATE TABLE recordings (
    row INTEGER PRIMARY KEY REFERENCES items (row) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;
"""

_READINGS = """
ALTER TABLE items ADD COLUMN has_sensors INTEGER NOT NULL DEFAULT 0 CHECK (has_sensors IN (0, 1));
CREATE TABLE readings (
    row INTEGER PRIMARY KEY REFERENCES items (row) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;
"""

MIGRATIONS = (_FIRST, _RECORDINGS, _READINGS)
"""The n-th script makes version n of the one before it; a script that was released never changes."""


def prepare(db: sqlite3.Connection, path: Path, model: str | None) -> None:
    """Bring the file to the newest version, in one transaction. A file without tables becomes a gallery.

    Raises:
        GalleryError: it is no gallery, or of a newer version than this one knows.
    """
    version = read_version(db, path)
    if version == len(MIGRATIONS):
        return
    if version == 0:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise GalleryError(f"{path}: its disk cannot share memory, as SQLite's log needs. Use a local disk.")
    db.execute("BEGIN IMMEDIATE")
    try:
        for script in MIGRATIONS[version:]:
            for statement in filter(str.strip, script.split(";")):
                db.execute(statement)
        if version == 0:
            db.execute("INSERT INTO gallery (one, model) VALUES (1, ?)", (model,))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def read_version(db: sqlite3.Connection, path: Path) -> int:
    """The version of the file's tables; 0 for an empty file.

    Raises:
        GalleryError: as `prepare` does.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (num_tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (version, application, num_tables) == (0, 0, 0):
        return 0
    if application != APPLICATION_ID:
        raise damaged(path, "no gallery")
    if version > len(MIGRATIONS):
        raise GalleryError(f"{path}: written by a newer version of this program. Install that one.")
    return int(version)
