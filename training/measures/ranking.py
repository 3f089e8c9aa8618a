"""Where right answers stand among the rows of a gallery, and what that is worth. Arrays in, numbers out.

Knows scores, and which rows are right; knows nothing of records or networks. Rows that score alike count against
us: the wrong ones stand before the right ones, so a model that scores all rows alike looks as bad as it is.

# q queries of a block, Q all queries, G gallery rows, E embedding dimensions, h right answers of a block"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from retrieval.exact import SCORE_DECIMALS

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

RANKS = (1, 5, 10)
DEPTH = 10  # of nDCG
BLOCK_SCORES = 1 << 20  # that are ranked at a time, in some 50 MB


class Hits(NamedTuple):
    """Right answers of a block, by query and then best first.

    query_h: the number of the query. nth_h, rank_h: places from 1 on, among its right answers and in the gallery.
    """

    query_h: Ints
    nth_h: Ints
    rank_h: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The gallery as each query of a block orders it.

    order_qG: rows of the gallery, best first.
    last_qG: for each place, the last one of an equal score.
    """

    order_qG: Ints
    last_qG: Ints

    @classmethod
    def of(cls, scores_qG: Floats) -> Self:
        """From scores, the higher the better, rounded as a gallery rounds them, so that equal vectors tie."""
        scores_qG = np.round(scores_qG, SCORE_DECIMALS)
        order_qG = np.argsort(-scores_qG, axis=1)
        sorted_qG = np.take_along_axis(scores_qG, order_qG, axis=1)
        places_G = np.arange(scores_qG.shape[1], dtype=np.int32)
        last_qG = np.broadcast_to(places_G, sorted_qG.shape).copy()
        last_qG[:, :-1][sorted_qG[:, :-1] == sorted_qG[:, 1:]] = len(places_G)
        return cls(order_qG, np.minimum.accumulate(last_qG[:, ::-1], axis=1)[:, ::-1])

    def hits(self, right_qG: Bools, wrong_qG: Bools) -> Hits:
        """Ranks of the right answers. Both masks are in this ranking's order; a row in neither is not there."""
        num_right_qG = right_qG.cumsum(axis=1, dtype=np.int32)
        num_wrong_qG = wrong_qG.cumsum(axis=1, dtype=np.int32)
        query_h, place_h = np.nonzero(right_qG)
        nth_h = num_right_qG[query_h, place_h]
        return Hits(query_h, nth_h, nth_h + num_wrong_qG[query_h, self.last_qG[query_h, place_h]])


def average_precisions(hits: Hits, num_queries: int) -> NDArray[np.float64]:
    """For each query of a block (q,), the mean over its right answers of the precision down to each.

    0 for one without a right answer.

    Manning, Raghavan and Schütze 2008, Introduction to Information Retrieval, 8.4; its mean over queries is MAP.
    """
    count_q = np.bincount(hits.query_h, minlength=num_queries)
    sum_q = np.bincount(hits.query_h, hits.nth_h / hits.rank_h, num_queries)
    return sum_q / np.maximum(count_q, 1)


def discounted_gains(hits: Hits, num_queries: int, depth: int = DEPTH) -> NDArray[np.float64]:
    """For each query of a block (q,), nDCG at a depth, 0 to 1; 0 for one without a right answer.

    Järvelin and Kekäläinen 2002, Cumulated gain-based evaluation of IR techniques, with the discount
    1 / log2(rank + 1) that has become usual: theirs, with base 2, discounts from rank 3 on. An answer is right or
    not, a gain of 1 or 0; the ideal has all right ones first.
    """
    gain_h = np.where(hits.rank_h <= depth, 1 / np.log2(hits.rank_h + 1), 0)
    sum_q = np.bincount(hits.query_h, gain_h, num_queries)
    count_q = np.bincount(hits.query_h, minlength=num_queries)
    ideal = np.cumsum(1 / np.log2(np.arange(1, depth + 1) + 1))
    return sum_q / ideal[np.clip(count_q, 1, depth) - 1]


def blocks(num_queries: int, num_rows: int) -> Iterator[slice]:
    """Slices of the queries, few enough that their scores against all rows fit in memory; at least one each."""
    size = max(1, BLOCK_SCORES // max(1, num_rows))
    for start in range(0, num_queries, size):
        yield slice(start, min(start + size, num_queries))


def retrieval(queries_QE: Floats, gallery_GE: Floats, relevant: Sequence[Ints]) -> dict[str, float]:
    """R@1/5/10 and median rank of the first relevant row, and nDCG@10 over all of them, by cosine.

    R@k is the share of queries with a relevant row among the first k. Of several relevant rows the best counts for
    R@k and the rank, and none competes with another.

    Args:
        queries_QE: unit norm.
        gallery_GE: unit norm.
        relevant: for each query, the gallery rows that answer it, at least one (equal texts or images are equally
            right).
    """
    rank_Q = np.empty(len(queries_QE), dtype=np.int64)
    gain_Q = np.empty(len(queries_QE))
    for block in blocks(len(queries_QE), len(gallery_GE)):
        own = relevant[block]
        right_qG = np.zeros((len(own), len(gallery_GE)), dtype=bool)
        right_qG[np.repeat(np.arange(len(own)), [len(rows) for rows in own]), np.concatenate(own)] = True
        ranking = Ranking.of(queries_QE[block] @ gallery_GE.T)
        right_qG = np.take_along_axis(right_qG, ranking.order_qG, axis=1)
        hits = ranking.hits(right_qG, ~right_qG)
        rank_Q[block] = hits.rank_h[hits.nth_h == 1]
        gain_Q[block] = discounted_gains(hits, len(own))
    return {
        **{f"r@{k}": float((rank_Q <= k).mean()) for k in RANKS},
        f"ndcg@{DEPTH}": float(gain_Q.mean()),
        "median_rank": float(np.median(rank_Q)),
        "queries": len(rank_Q),
        "gallery": len(gallery_GE),
    }
