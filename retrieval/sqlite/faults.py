"""From what SQLite and the file system say to an error with a remedy."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.errors import GalleryError

_FULL = "no room on its disk. Make room; what was answered before is kept."
_LOCKED = "locked by another process. Stop that, then try again."
_READ_ONLY = "cannot be written. Give this process the right to write the file and its folder."
_DAMAGED = "damaged: restore a backup of it, or move it away to begin anew."
_CLOSED = "closed or deleted. Open it again."
_MISSING = "cannot be opened or written. Look whether its folder exists, may be written and is on a sound disk."

_REMEDIES = {
    "SQLITE_FULL": _FULL,
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_PERM": _READ_ONLY,
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_CANTOPEN": _MISSING,
}
_ROOM = ("SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_SHMSIZE")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn the errors of what runs inside into sentences about the file.

    Raises:
        GalleryError: for every error of SQLite or of the file system.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise GalleryError(f"{path}: {_remedy(error)}") from error
    except OSError as error:
        raise GalleryError(f"{path}: {error.strerror}. {_MISSING[0].upper()}{_MISSING[1:]}") from error


def closed(path: Path) -> GalleryError:
    """The error of a gallery that is used after it was closed."""
    return GalleryError(f"{path}: {_CLOSED}")


def damaged(path: Path, detail: str) -> GalleryError:
    """The error of a file that is not what it should be."""
    return GalleryError(f"{path}: {detail}; {_DAMAGED}")


def _remedy(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name in _ROOM:
        return f"the disk took no more ({name}): {_FULL}"
    if name.startswith("SQLITE_IOERR"):
        return f"the disk failed ({name}): {_MISSING}"
    if not name:  # Python's own, for a connection that is closed
        return _CLOSED if isinstance(error, sqlite3.ProgrammingError) else str(error)
    short = "_".join(name.split("_")[:2])
    return _REMEDIES.get(short, f"SQLite says: {error} ({name}).")
