"""Exact search over rows that come and go. A state of it never changes: whoever holds one sees one moment.

# n vectors, E embedding dimensions"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.exact import SCORE_DECIMALS
from retrieval.gallery import Floats

Rows = NDArray[np.int64]

GONE = -1


def among(rows: Rows, others: Rows) -> NDArray[np.bool_]:
    """Which of the rows are among the others, which ascend."""
    if len(others) == 0:
        return np.zeros(len(rows), bool)
    places = np.minimum(np.searchsorted(others, rows), len(others) - 1)
    return np.asarray(others[places] == rows)


@dataclass(frozen=True, slots=True, eq=False)
class RowIndex:
    """rows_n: whose vector each is; -1 where it is gone. Room beyond n is shared with later states."""

    rows_n: Rows
    room_NE: Floats
    num_gone: int = 0

    def search(self, unit_E: Floats, top_k: int, allowed: Rows | None = None) -> tuple[Rows, Floats]:
        """At most `top_k` rows with their cosines, best first; of those that tie with the last any may lack.

        allowed: rows that count, ascending.
        """
        places = np.flatnonzero(self.rows_n != GONE if allowed is None else among(self.rows_n, allowed))
        few = 4 * len(places) < len(self.rows_n)
        vectors_nE = self.room_NE[: len(self.rows_n)]
        scores = vectors_nE[places] @ unit_E if few else (vectors_nE @ unit_E)[places]
        scores = np.round(np.clip(scores, -1.0, 1.0), SCORE_DECIMALS)
        if top_k < len(places):
            best = np.argpartition(-scores, top_k)[:top_k]
            places, scores = places[best], scores[best]
        order = np.argsort(-scores, kind="stable")
        return self.rows_n[places[order]], scores[order]

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
        return RowIndex(rows_n, self.room_NE, self.num_gone)

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
        room_NE = self.room_NE
        if 2 * num_gone > len(rows_n) + len(new):
            alive_n = rows_n != GONE
            rows_n, room_NE, num_gone = rows_n[alive_n], room_NE[: len(rows_n)][alive_n], 0
        if not new:
            return RowIndex(rows_n, room_NE, num_gone)
        count = len(rows_n)
        if count + len(new) > len(room_NE):
            grown_NE: NDArray[Any] = np.empty((2 * (count + len(new)), room_NE.shape[1]), np.float32)
            grown_NE[:count] = room_NE[:count]
            room_NE = grown_NE
        room_NE[count : count + len(new)] = [added[row] for row in new]
        return RowIndex(np.concatenate([rows_n, np.array(new, np.int64)]), room_NE, num_gone)
