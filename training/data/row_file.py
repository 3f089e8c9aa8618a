"""Rows of one shape in a file, read by number. Knows bytes and places; knows nothing of what the rows mean.

Read, not mapped: mapped pages count as the process's own memory until the system wants them back, so that it would
seem to grow with the data, and a limit on it to be near."""

import math
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class RowFile:
    """An open file of such rows, one after the other; it is closed with this. Several threads may read at once."""

    def __init__(self, file: IO[bytes], kind: DTypeLike, shape: tuple[int, ...]) -> None:
        """Take a file without a buffer; rows are of `kind` and `shape`, which may hold a 0."""
        self.kind, self.shape = np.dtype(kind), shape
        self._file = file
        self._row_bytes = self.kind.itemsize * math.prod(shape)
        weakref.finalize(self, file.close)

    @classmethod
    def open(cls, path: Path, kind: DTypeLike, shape: tuple[int, ...], *, keep: bool) -> "RowFile":
        """Open for reading and writing; without `keep` it is emptied, or made."""
        return cls(path.open("r+b" if keep else "w+b", buffering=0), kind, shape)

    def write(self, start: int, values: Array) -> None:
        """Put rows (n, …) from place `start` on."""
        rest = memoryview(np.ascontiguousarray(values, dtype=self.kind).tobytes())
        place = start * self._row_bytes
        while rest:
            written = os.pwrite(self._file.fileno(), rest, place)
            rest, place = rest[written:], place + written

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(self._file.fileno())

    def take(self, rows: Iterable[int]) -> Array:
        """These rows (n, …), in this order."""
        places = list(rows)
        values = np.empty((len(places), *self.shape), self.kind)
        for own, place in zip(values, places, strict=True):
            self._read(own, place)
        return values

    def take_spans(self, spans: Iterable[tuple[int, int]]) -> tuple[Array, NDArray[np.int64]]:
        """Each span's rows, from one place up to another: (n, T, …), padded with zeros, and lengths (n,)."""
        places = list(spans)
        lengths_n = np.array([end - start for start, end in places], dtype=np.int64)
        values = np.zeros((len(places), int(lengths_n.max()), *self.shape), self.kind)
        for own, (start, end) in zip(values, places, strict=True):
            self._read(own[: end - start], start)
        return values, lengths_n

    def _read(self, out: Array, start: int) -> None:
        if out.nbytes and os.preadv(self._file.fileno(), [out.data], start * self._row_bytes) != out.nbytes:
            raise OSError(f"a file of cached rows ends before row {start}. Remove the cache.")
