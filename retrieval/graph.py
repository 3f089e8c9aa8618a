"""An approximate index: a navigable graph over unit vectors, which finds candidates for an exact ranking.

Hierarchical navigable small worlds (Malkov and Yashunin 2018), by faiss, over half-precision copies of the
vectors: what it finds is ranked anew by whoever has these. A graph never changes; `extended` makes a larger one.

# n vectors, E embedding dimensions"""

import hashlib
import math
import struct
import threading
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retrieval.gallery import Floats

NUM_LINKS = 32  # of a vector, on each level; twice as many on the lowest
BUILD_WIDTH = 100  # candidates that are weighed for the links of a new vector
_LEAST_WIDTH = 32  # candidates that a search keeps
_WIDTH_PER_DOUBLING = 16
_NARROW_VECTORS = 25_000
_PIECE = 4096  # vectors that are added at a time, so that whoever waits for an interpreter gets it
_DIGEST_BYTES = hashlib.sha256().digest_size
_LENGTH = struct.Struct("<q")

Rows = NDArray[np.int64]


def search_width(num_vectors: int) -> int:
    """Candidates that a search among so many keeps at least, so that recall@10 stays above 0.99.

    A graph's paths grow with the logarithm of its size. Measured (`benchmarks.retrieval index`): 0.997 of 100,000
    vectors of 128 numbers, 0.998 of a million of 256.
    """
    doublings = math.log2(max(num_vectors, 1) / _NARROW_VECTORS)
    return max(_LEAST_WIDTH, round(_WIDTH_PER_DOUBLING * doublings))


class GraphError(Exception):
    """A graph's file cannot be read. It can be built anew."""


class Graph:
    """Vectors and the rows that they belong to, numbered from 0 in the order that they were added.

    Searches may run at once.
    """

    def __init__(self, index: Any, rows_n: Rows) -> None:
        """Take a faiss index over; see `build` and `load`."""
        self._index = index
        self.rows_n = rows_n

    @classmethod
    def build(cls, rows_n: Rows, vectors_nE: Floats, stop: threading.Event | None = None) -> Self:
        """A graph over these; takes some 6,000 vectors a second. Raises InterruptedError where `stop` is set."""
        faiss = _faiss()
        index = faiss.IndexHNSWSQ(
            vectors_nE.shape[1], faiss.ScalarQuantizer.QT_fp16, NUM_LINKS, faiss.METRIC_INNER_PRODUCT
        )
        index.hnsw.efConstruction = BUILD_WIDTH
        index.is_trained = True  # half precision has nothing to learn
        return cls(_added(index, vectors_nE, stop), rows_n)

    def extended(self, rows_n: Rows, vectors_nE: Floats, stop: threading.Event | None = None) -> Self:
        """A copy with these vectors at its end. Raises as `build` does."""
        index = _added(_faiss().clone_index(self._index), vectors_nE, stop)
        return type(self)(index, np.concatenate([self.rows_n, rows_n]))

    def renamed(self, rows_n: Rows) -> Self:
        """The same vectors, that belong to other rows."""
        return type(self)(self._index, rows_n)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimensions(self) -> int:
        """E."""
        return int(self._index.d)

    def candidates(self, query_E: Floats, count: int) -> Rows:
        """Numbers of about the `count` nearest vectors, nearest first; fewer where the graph finds no more."""
        _use_one_thread()
        width = max(search_width(len(self)), count)
        _, found = self._index.search(query_E[None], min(count, len(self)), params=_parameters(width))
        numbers: Rows = found[0]
        return numbers if numbers[-1] >= 0 else numbers[numbers >= 0]

    def vector(self, number: int) -> Floats:
        """The half-precision copy (E,)."""
        copy: Floats = self._index.reconstruct(number)
        return copy

    def save(self, path: Path) -> None:
        """Write a file, which is renamed into place once it is whole. Raises OSError."""
        partial = path.with_name(f"{path.name}.partial")
        parts: list[bytes | memoryview] = [
            _LENGTH.pack(len(self.rows_n)),
            self.rows_n.astype("<i8").tobytes(),
            _faiss().serialize_index(self._index).data,
        ]
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        with partial.open("wb") as file:
            file.write(digest.digest())
            for part in parts:
                file.write(part)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, dimensions: int) -> Self:
        """Read what `save` wrote.

        Raises:
            OSError: there is no such file, or it cannot be read.
            GraphError: it is broken, or of other vectors.
        """
        with path.open("rb") as file:
            digest, data = file.read(_DIGEST_BYTES), file.read()
        # faiss follows the numbers in a file without looking: one that was altered would end the process.
        if hashlib.sha256(data).digest() != digest:
            raise GraphError(f"{path.name}: its contents are not what was written")
        (count,) = _LENGTH.unpack_from(data)
        start = _LENGTH.size + 8 * count
        try:
            index = _faiss().deserialize_index(np.frombuffer(data, np.uint8, offset=start))
        except (RuntimeError, MemoryError) as error:
            raise GraphError(f"{path.name}: not a graph: {type(error).__name__}") from None
        graph = cls(index, np.frombuffer(data, "<i8", count, _LENGTH.size).astype(np.int64))
        if graph.dimensions != dimensions or len(graph) != count:
            raise GraphError(f"{path.name}: a graph of {graph.dimensions} dimensions, not of {dimensions}")
        return graph


def _added(index: Any, vectors_nE: Floats, stop: threading.Event | None) -> Any:
    _use_one_thread()
    for start in range(0, len(vectors_nE), _PIECE):
        if stop is not None and stop.is_set():
            raise InterruptedError("the graph is not wanted any more")
        index.add(np.ascontiguousarray(vectors_nE[start : start + _PIECE]))
    return index


@cache
def _faiss() -> Any:
    """The library, where it is needed first: a small gallery starts without its 0.1 s and 15 MB."""
    import faiss

    return faiss


@lru_cache(maxsize=64)
def _parameters(width: int) -> Any:
    return _faiss().SearchParametersHNSW(efSearch=width)


class _Thread(threading.local):
    limited = False


_thread = _Thread()


def _use_one_thread() -> None:
    """Keep faiss from taking every core for each call of this thread: others search, and compute, beside it."""
    if not _thread.limited:
        _faiss().omp_set_num_threads(1)
        _thread.limited = True
