"""What is compared: our index, brute force, and the libraries as they are.

A library's search returns the places of the nearest; ours also ranks them exactly, as a gallery needs it."""

import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Places = NDArray[Any]

LINKS, BUILD_WIDTH = 16, 100  # rivals are tried with these links, and with twice as many, which ours has


class Contestant(Protocol):
    """Built once; then searched, with a width that trades speed for recall."""

    keeps_given: bool

    def build(self, vectors_NE: Any) -> None: ...

    def widen(self, width: int) -> None: ...

    def search(self, query_E: Any, count: int) -> Places: ...


class Ours:
    """`RowIndex` with its graph, as the SQLite gallery holds it."""

    keeps_given = True

    def build(self, vectors_NE: Any) -> None:
        from retrieval.sqlite.row_index import RowIndex

        index = RowIndex(np.arange(len(vectors_NE), dtype=np.int64), vectors_NE)
        self.index = index.with_graph(index.larger_graph(threading.Event()))

    def widen(self, width: int) -> None:
        from retrieval import graph

        graph.search_width = lambda _: width

    def search(self, query_E: Any, count: int) -> Places:
        return self.index.search(query_E, count)[0]


class Exact:
    """A matrix product in numpy."""

    keeps_given = True

    def build(self, vectors_NE: Any) -> None:
        self.vectors_NE = vectors_NE

    def widen(self, width: int) -> None:
        pass

    def search(self, query_E: Any, count: int) -> Places:
        scores = self.vectors_NE @ query_E
        best = np.argpartition(-scores, count)[:count]
        return best[np.argsort(-scores[best])]


class Faiss:
    keeps_given = False

    def __init__(self, half: bool, links: int) -> None:
        self._half, self._links = half, links

    def build(self, vectors_NE: Any) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        width, metric = vectors_NE.shape[1], faiss.METRIC_INNER_PRODUCT
        if self._half:
            self._index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_fp16, self._links, metric)
            self._index.is_trained = True
        else:
            self._index = faiss.IndexHNSWFlat(width, self._links, metric)
        self._index.hnsw.efConstruction = BUILD_WIDTH
        self._index.add(vectors_NE)

    def widen(self, width: int) -> None:
        self._index.hnsw.efSearch = width

    def search(self, query_E: Any, count: int) -> Places:
        found: Places = self._index.search(query_E[None], count)[1][0]
        return found


class Usearch:
    keeps_given = False

    def __init__(self, half: bool, links: int) -> None:
        self._half, self._links = half, links

    def build(self, vectors_NE: Any) -> None:
        from usearch.index import Index

        self._index = Index(
            ndim=vectors_NE.shape[1],
            metric="ip",
            dtype="f16" if self._half else "f32",
            connectivity=self._links,
            expansion_add=BUILD_WIDTH,
        )
        self._index.add(np.arange(len(vectors_NE)), vectors_NE, threads=1)

    def widen(self, width: int) -> None:
        self._index.expansion_search = width

    def search(self, query_E: Any, count: int) -> Places:
        found: Places = self._index.search(query_E, count, threads=1).keys
        return found


class Hnswlib:
    keeps_given = False

    def __init__(self, half: bool, links: int) -> None:
        if half:
            raise ValueError("hnswlib has no half precision")
        self._links = links

    def build(self, vectors_NE: Any) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=vectors_NE.shape[1])
        self._index.init_index(len(vectors_NE), M=self._links, ef_construction=BUILD_WIDTH)
        self._index.set_num_threads(1)
        self._index.add_items(vectors_NE, num_threads=1)

    def widen(self, width: int) -> None:
        self._index.set_ef(width)

    def search(self, query_E: Any, count: int) -> Places:
        found: Places = self._index.knn_query(query_E, count, num_threads=1)[0][0]
        return found


LIBRARIES: dict[str, Callable[[bool, int], Contestant]] = {"faiss": Faiss, "usearch": Usearch, "hnswlib": Hnswlib}


def make(name: str) -> Contestant:
    """`ours`, `exact`, or a library with its precision and links, as `usearch-f16-32`."""
    if name in ("ours", "exact"):
        return Ours() if name == "ours" else Exact()
    library, precision, links = name.split("-")
    return LIBRARIES[library](precision == "f16", int(links))
