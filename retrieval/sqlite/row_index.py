"""Search over rows that come and go. A state of it never changes: whoever holds one sees one moment.

It is exact as long as there are few vectors. Of many, a graph finds candidates, which are ranked exactly together
with what the graph does not know yet.

# n vectors, E embedding dimensions"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.exact import SCORE_DECIMALS
from retrieval.gallery import Floats
from retrieval.graph import Graph

Rows = NDArray[np.int64]

GONE = -1

EXACT_VECTORS = 20_000
"""As many are compared one by one: 100,000 numbers take a millisecond."""

_TAIL_SHARE = 0.25  # of the graph; where more is not in it, a larger one is built
_MARGIN = 1.2  # candidates for each match, for what is gone or not allowed
_FEW = 16
_SORTED = 32  # times as many as are wanted are sorted faster than they are parted


def among(rows: Rows, others: Rows) -> NDArray[np.bool_]:
    """Which of the rows are among the others, which ascend."""
    if len(others) == 0:
        return np.zeros(len(rows), bool)
    places = np.minimum(np.searchsorted(others, rows), len(others) - 1)
    return np.asarray(others[places] == rows)


@dataclass(frozen=True, slots=True, eq=False)
class Covered:
    """A graph, and where its vectors are in one state of the index.

    places_c: by number in the graph, the place; -1 for one that is gone.
    loose: places, of the first `num_places`, of vectors that the graph does not know; nor does it those behind.
    is_whole: whether all of the graph's vectors are here, so that none has to be looked for.
    """

    graph: Graph
    places_c: Rows
    loose: Rows
    num_places: int
    is_whole: bool

    def unknown(self, num_places: int) -> Rows:
        """Of so many places those that may hold what the graph does not know."""
        if num_places == self.num_places:
            return self.loose
        return np.concatenate([self.loose, np.arange(self.num_places, num_places)])


@dataclass(frozen=True, slots=True, eq=False)
class RowIndex:
    """rows_n: whose vector each is; -1 where it is gone. Room beyond n is shared with later states."""

    rows_n: Rows
    room_NE: Floats
    num_gone: int = 0
    covered: Covered | None = None

    def search(self, unit_E: Floats, top_k: int, allowed: Rows | None = None) -> tuple[Rows, Floats]:
        """At most `top_k` rows with their cosines, best first; of those that tie with the last any may lack.

        As many as there are, if these are fewer. allowed: rows that count, ascending.
        """
        places = self._candidates(unit_E, top_k, allowed)
        if places is None:
            places = np.flatnonzero(self.rows_n != GONE if allowed is None else among(self.rows_n, allowed))
        few = 4 * len(places) < len(self.rows_n)
        vectors_nE = self.room_NE[: len(self.rows_n)]
        scores = vectors_nE[places] @ unit_E if few else (vectors_nE @ unit_E)[places]
        if len(places) > _SORTED * top_k:
            best = np.argpartition(-scores, top_k)[:top_k]
            places, scores = places[best], scores[best]
        order = (-scores).argsort(kind="stable")[:top_k]
        # Rounded last: what is nearer stays nearer, and of what becomes equal any may lack.
        return self.rows_n[places[order]], scores[order].clip(-1.0, 1.0).round(SCORE_DECIMALS)

    def _candidates(self, unit_E: Floats, top_k: int, allowed: Rows | None) -> Rows | None:
        """Places among which the nearest are; None where all are to be compared."""
        num_alive = len(self.rows_n) - self.num_gone
        num_allowed = num_alive if allowed is None else len(allowed)
        if self.covered is None or num_allowed <= EXACT_VECTORS:
            return None
        count = int(_MARGIN * (top_k + _FEW) * num_alive / num_allowed)
        if _FEW * count > len(self.covered.graph):
            return None
        covered = self.covered
        known = covered.places_c[covered.graph.candidates(unit_E, count)]
        if self.num_gone or not covered.is_whole or allowed is not None:
            known = self._counting(known[known >= 0], allowed)
        if len(known) < top_k:
            return None  # what counts lies farther than the candidates: among the rest there may be nearer ones
        unknown = covered.unknown(len(self.rows_n))
        return np.concatenate([known, self._counting(unknown, allowed)]) if len(unknown) else known

    def _counting(self, places: Rows, allowed: Rows | None) -> Rows:
        rows = self.rows_n[places]
        return places[rows != GONE if allowed is None else among(rows, allowed)]

    def lacks(self) -> bool:
        """Whether so much is in no graph that one is worth building."""
        if self.covered is None:
            return len(self.rows_n) > EXACT_VECTORS
        unknown = len(self.covered.unknown(len(self.rows_n)))
        return unknown > max(EXACT_VECTORS, _TAIL_SHARE * len(self.covered.graph))

    def larger_graph(self, stop: threading.Event) -> Graph:
        """A graph of all that is here; takes long. Raises InterruptedError where `stop` is set."""
        if self.covered is None:
            places = np.flatnonzero(self.rows_n != GONE)
            return Graph.build(self.rows_n[places], self.room_NE[places], stop)
        graph, places_c = self.covered.graph, self.covered.places_c
        names = np.where(places_c >= 0, self.rows_n[places_c], GONE)  # rows may have moved since it was built
        places = self._counting(self.covered.unknown(len(self.rows_n)), None)
        renamed = graph.renamed(np.where(names == GONE, graph.rows_n, names))
        return renamed.extended(self.rows_n[places], self.room_NE[places], stop)

    def with_graph(self, graph: Graph) -> "RowIndex":
        """The same state, with a graph that was built of an earlier one. What it has beyond does no harm."""
        order = np.argsort(self.rows_n, kind="stable")
        ascending = self.rows_n[order]
        found = np.minimum(np.searchsorted(ascending, graph.rows_n), max(len(ascending) - 1, 0))
        if not len(ascending):
            return self
        places_c = np.where(ascending[found] == graph.rows_n, order[found], GONE)
        loose_n = self.rows_n != GONE
        loose_n[places_c[places_c >= 0]] = False
        is_whole = bool((places_c >= 0).all())
        return replace(self, covered=Covered(graph, places_c, np.flatnonzero(loose_n), len(self.rows_n), is_whole))

    def emptied(self) -> "RowIndex":
        """The state without any row."""
        return RowIndex(self.rows_n[:0], np.empty((0, self.room_NE.shape[1]), np.float32))

    def moved(self, rows: Mapping[int, int]) -> "RowIndex":
        """The state after vectors went from old rows to new ones; those that are not here are passed over."""
        if not rows:
            return self
        olds = np.array(sorted(rows), np.int64)
        hit_n = among(self.rows_n, olds)
        rows_n = self.rows_n.copy()
        rows_n[hit_n] = [rows[row] for row in self.rows_n[hit_n].tolist()]
        return replace(self, rows_n=rows_n)

    def changed(self, added: Mapping[int, Floats], removed: Sequence[int]) -> "RowIndex":
        """The state after rows were added, and others removed; of a row in both nothing remains."""
        if not added and not removed:
            return self
        gone = np.array(sorted(removed), np.int64)
        rows_n, num_gone = self.rows_n, self.num_gone
        if len(gone):
            hit_n = among(rows_n, gone)
            if hit_n.any():
                rows_n = np.where(hit_n, GONE, rows_n)
                num_gone += int(hit_n.sum())
        left = set(removed)
        new = [row for row in added if row not in left]
        room_NE, covered = self.room_NE, self.covered
        if 2 * num_gone > len(rows_n) + len(new):
            alive_n = rows_n != GONE
            rows_n, room_NE, num_gone = rows_n[alive_n], room_NE[: len(rows_n)][alive_n], 0
            covered = None  # so much is gone that a smaller graph serves better
        if not new:
            return RowIndex(rows_n, room_NE, num_gone, covered)
        count = len(rows_n)
        if count + len(new) > len(room_NE):
            grown_NE: NDArray[Any] = np.empty((2 * (count + len(new)), room_NE.shape[1]), np.float32)
            grown_NE[:count] = room_NE[:count]
            room_NE = grown_NE
        room_NE[count : count + len(new)] = [added[row] for row in new]
        return RowIndex(np.concatenate([rows_n, np.array(new, np.int64)]), room_NE, num_gone, covered)
