"""One process for each gallery's file: a lock that ends with its process, however that ends."""

import os
from pathlib import Path

from retrieval.errors import GalleryBusyError
from retrieval.sqlite.faults import told

try:
    import fcntl
except ImportError:  # Windows: SQLite's own locks remain
    fcntl = None  # type: ignore[assignment]


class FileLock:
    """Held from its making until `release`. The file has the number of the process that holds it."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            GalleryBusyError: another one holds it.
        GalleryError: the file cannot be made.
        """
        with told(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            self._take(path)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self, path: Path) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(self._descriptor, 20).decode(errors="replace").strip() or "unknown"
                raise GalleryBusyError(
                    f"{path.with_suffix('.db')}: in use by process {holder}. Stop that one, or give this one "
                    "a folder of its own: several processes share a gallery only on PostgreSQL."
                ) from None
        with told(path):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)
