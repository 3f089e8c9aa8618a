"""The tables, and how a database gets them. All are in the schema `intermodal`.

items.row: of an item as long as it is there; it is replaced in place, for a statement sees one moment.
fields: see `retrieval.fields`; text as UTF-8 bytes, which compare by code points and take what text cannot hold.
vectors_<E>: of all embeddings of E numbers."""

from typing import Any

_LOCK = 4_711_303  # of whoever makes or changes tables
_FIRST = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS intermodal;
CREATE TABLE IF NOT EXISTS intermodal.version (number integer NOT NULL);
CREATE TABLE intermodal.galleries (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    model text NOT NULL,
    seed_version integer NOT NULL DEFAULT 0
);
CREATE TABLE intermodal.items (
    row bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gallery integer NOT NULL REFERENCES intermodal.galleries ON DELETE CASCADE,
    id text COLLATE "C" NOT NULL,
    text text,
    labels json NOT NULL,
    metadata json NOT NULL,
    has_image boolean NOT NULL,
    origin text NOT NULL,
    content bigint NOT NULL,
    UNIQUE (gallery, id)
);
CREATE TABLE intermodal.images (
    row bigint PRIMARY KEY REFERENCES intermodal.items ON DELETE CASCADE, data bytea NOT NULL
);
CREATE TABLE intermodal.thumbnails (
    row bigint PRIMARY KEY REFERENCES intermodal.items ON DELETE CASCADE, data bytea NOT NULL
);
CREATE TABLE intermodal.deletions (
    gallery integer NOT NULL REFERENCES intermodal.galleries ON DELETE CASCADE,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (gallery, id)
);
CREATE TABLE intermodal.fields (
    row bigint NOT NULL REFERENCES intermodal.items ON DELETE CASCADE,
    path bytea NOT NULL,
    kind "char" NOT NULL,
    number numeric,
    value bytea
);
CREATE INDEX ON intermodal.fields (row, path);
CREATE INDEX ON intermodal.fields (path, kind, number);
CREATE INDEX ON intermodal.fields (path, kind, value);
CREATE TABLE intermodal.embeddings (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gallery integer NOT NULL REFERENCES intermodal.galleries ON DELETE CASCADE,
    id text COLLATE "C" NOT NULL,
    dimensions integer NOT NULL,
    targets text[] NOT NULL,
    UNIQUE (gallery, id)
);
CREATE TABLE intermodal.embedded (
    embedding integer NOT NULL REFERENCES intermodal.embeddings ON DELETE CASCADE,
    row bigint NOT NULL REFERENCES intermodal.items ON DELETE CASCADE,
    PRIMARY KEY (embedding, row)
);
CREATE INDEX ON intermodal.embedded (row);
"""
_RECORDINGS = """
ALTER TABLE intermodal.items ADD COLUMN has_audio boolean NOT NULL DEFAULT false;
CREATE TABLE intermodal.recordings (
    row bigint PRIMARY KEY REFERENCES intermodal.items ON DELETE CASCADE, data bytea NOT NULL
);
"""
_READINGS = """
ALTER TABLE intermodal.items ADD COLUMN has_sensors boolean NOT NULL DEFAULT false;
CREATE TABLE intermodal.readings (
    row bigint PRIMARY KEY REFERENCES intermodal.items ON DELETE CASCADE, data bytea NOT NULL
);
"""
_MIGRATIONS = (_FIRST, _RECORDINGS, _READINGS)
"""The n-th script makes version n of the one before it; a script that was released never changes."""

_VECTORS = """
CREATE TABLE IF NOT EXISTS intermodal.vectors_{dimensions} (
    embedding integer NOT NULL REFERENCES intermodal.embeddings ON DELETE CASCADE,
    target text NOT NULL,
    row bigint NOT NULL REFERENCES intermodal.items ON DELETE CASCADE,
    data vector({dimensions}) NOT NULL,
    PRIMARY KEY (embedding, target, row)
);
CREATE INDEX IF NOT EXISTS vectors_{dimensions}_row ON intermodal.vectors_{dimensions} (row);
"""


def make_tables(db: Any) -> None:
    """Bring a database to the newest version of its tables. Replicas that start at once take turns.

    Raises:
        ValueError: they are of a newer release.
    """
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        (there,) = db.execute("SELECT to_regclass('intermodal.version') IS NOT NULL").fetchone()
        version = db.execute("SELECT max(number) FROM intermodal.version").fetchone()[0] if there else 0
        if version > len(_MIGRATIONS):
            raise ValueError(f"its tables are of version {version}; this release knows {len(_MIGRATIONS)}")
        for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
            db.execute(script)
            db.execute("INSERT INTO intermodal.version VALUES (%s)", (number,))


def make_vectors(db: Any, dimensions: int) -> None:
    """The table of vectors of so many numbers, in a transaction of its own."""
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        db.execute(_VECTORS.format(dimensions=int(dimensions)))


def vectors_of(dimensions: int) -> str:
    """The name of the table."""
    return f"intermodal.vectors_{int(dimensions)}"
