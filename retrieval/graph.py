"""An approximate index: a navigable graph over unit vectors, which finds candidates for an exact ranking.

Hierarchical navigable small worlds (Malkov and Yashunin 2018), by faiss, over half-precision copies of the
vectors: what it finds is ranked anew by whoever has these. A graph never changes; `extended` makes a larger one.

# n vectors, E embedding dimensions"""

import hashlib
import threading
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retrieval.gallery import Floats

NUM_LINKS = 16  # of a vector, on each level; twice as many on the lowest
BUILD_WIDTH = 100  # candidates that are weighed for the links of a new vector
SEARCH_WIDTH = 64  # least candidates that a search keeps: recall@10 is 0.99 on the galleries that were measured
_PIECE = 4096  # vectors that are added at a time, so that whoever waits for an interpreter gets it
_DIGEST_BYTES = hashlib.sha256().digest_size


class GraphError(Exception):
    """A graph's file cannot be read. It can be built anew."""


class Graph:
    """Vectors numbered from 0 in the order that they were added. Searches may run at once."""

    def __init__(self, index: Any) -> None:
        """Take a faiss index over; see `build` and `load`."""
        self._index = index

    @classmethod
    def build(cls, vectors_nE: Floats, stop: threading.Event | None = None) -> Self:
        """A graph over these; takes some 6,000 vectors a second. Raises InterruptedError where `stop` is set."""
        faiss = _faiss()
        index = faiss.IndexHNSWSQ(
            vectors_nE.shape[1], faiss.ScalarQuantizer.QT_fp16, NUM_LINKS, faiss.METRIC_INNER_PRODUCT
        )
        index.hnsw.efConstruction = BUILD_WIDTH
        index.is_trained = True  # half precision has nothing to learn
        return cls(_added(index, vectors_nE, stop))

    def extended(self, vectors_nE: Floats, stop: threading.Event | None = None) -> Self:
        """A copy with these vectors at its end. Raises as `build` does."""
        return type(self)(_added(_faiss().clone_index(self._index), vectors_nE, stop))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimensions(self) -> int:
        """E."""
        return int(self._index.d)

    def candidates(self, query_E: Floats, count: int) -> NDArray[np.int64]:
        """Numbers of about the `count` nearest vectors, nearest first; fewer where the graph finds no more."""
        parameters = _faiss().SearchParametersHNSW(efSearch=max(SEARCH_WIDTH, count))
        _, found = self._index.search(query_E[None], min(count, len(self)), params=parameters)
        numbers: NDArray[np.int64] = found[0]
        return numbers[numbers >= 0]

    def save(self, path: Path) -> None:
        """Write a file, which is renamed into place once it is whole. Raises OSError."""
        partial = path.with_name(f"{path.name}.partial")
        data = memoryview(_faiss().serialize_index(self._index))
        with partial.open("wb") as file:
            file.write(hashlib.sha256(data).digest())
            file.write(data)
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
        try:
            graph = cls(_faiss().deserialize_index(np.frombuffer(data, np.uint8)))
            if graph.dimensions != dimensions:
                raise GraphError(f"{path.name}: a graph of {graph.dimensions} dimensions, not of {dimensions}")
        except (RuntimeError, AttributeError, MemoryError) as error:  # what faiss raises for what it cannot read
            raise GraphError(f"{path.name}: not a graph: {type(error).__name__}") from None
        return graph


def _added(index: Any, vectors_nE: Floats, stop: threading.Event | None) -> Any:
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


def limit_threads(count: int) -> None:
    """How many threads a call of faiss may use, in the thread that says so. By default, every core."""
    _faiss().omp_set_num_threads(count)
