"""Exact search: the cosine of the query to every vector, and the best of them.

# N items, n of them with a vector, E embedding dimensions"""

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import QueryError
from retrieval.gallery import Floats

SCORE_DECIMALS = 6
"""Scores are rounded, so that equal vectors tie whichever BLAS kernel their rows fell to."""


class ExactIndex:
    """The vectors of one target: (n, E) float32 of unit norm, with the item that each belongs to."""

    def __init__(self, vectors_nE: Floats, rows_n: NDArray[np.intp], rank_N: NDArray[np.intp]) -> None:
        """Take the vectors over.

        Args:
            vectors_nE: normalised here, so that what fp16 storage rounded away does not count.
            rows_n: the item that each vector belongs to.
            rank_N: each item's place among equal scores: that of its id.
        """
        norms = np.linalg.norm(vectors_nE, axis=1, keepdims=True)
        self.vectors_nE = np.ascontiguousarray(vectors_nE / np.maximum(norms, 1e-12), dtype=np.float32)
        self.rows_n = rows_n
        self._rank_n = rank_N[rows_n]

    def search(
        self, query_E: Floats, top_k: int, allowed_N: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.intp], Floats]:
        """Items (k,) and cosines (k,), best first, equal ones by rank; k <= top_k."""
        kept_k = np.arange(len(self.rows_n)) if allowed_N is None else np.flatnonzero(allowed_N[self.rows_n])
        scores_k = np.round(np.clip(self.vectors_nE @ query_E, -1.0, 1.0), SCORE_DECIMALS)[kept_k]
        if top_k < len(kept_k):
            # All that tie with the last place stay until ranks decide: argpartition would pick any of them.
            last = scores_k[np.argpartition(-scores_k, top_k - 1)[top_k - 1]]
            among = np.flatnonzero(scores_k >= last)
            kept_k, scores_k = kept_k[among], scores_k[among]
        order = np.lexsort((self._rank_n[kept_k], -scores_k))[:top_k]
        return self.rows_n[kept_k[order]], scores_k[order]


def unit_query(query_E: Floats, dimensions: int) -> Floats:
    """The query at unit norm.

    Raises:
        QueryError: another length than `dimensions`, not finite, or all zero.
    """
    if query_E.shape != (dimensions,):
        raise QueryError("vector", f"shape {query_E.shape}; this gallery's vectors have {dimensions} numbers.")
    wide = query_E.astype(np.float64)
    norm = np.linalg.norm(wide)
    if not np.isfinite(norm) or norm == 0.0:
        raise QueryError("vector", "must be finite and not all zero, for it is compared by its direction.")
    return (wide / norm).astype(np.float32)
