"""Whether what lies near a row has its label: every labelled row asks for all the others.

Knows vectors and labels; knows no classes, so a label that the network does not know counts like any other.

# n rows, q queries of a block, E embedding dimensions"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.measures.ranking import DEPTH, Ranking, average_precisions, blocks, discounted_gains

MAX_QUERIES = 5_000  # drawn by a seed where there are more rows, for the work grows with their product
Floats = NDArray[np.floating]
NONE = -1


def same_label(vectors_nE: Floats, labels: Mapping[str, Sequence[str | None]]) -> dict[str, dict[str, float]]:
    """By head, mean average precision and nDCG@10 of the rows with a query's own label, by cosine.

    The gallery is all other rows with a label for that head, relevant are those with an equal one. Rows whose
    label no other row has ask for nothing. A head without a query is left out.

    Args:
        vectors_nE: unit norm.
        labels: head → each row's label; None for an empty cell.
    """
    asking = np.arange(len(vectors_nE))
    if len(asking) > MAX_QUERIES:
        asking = np.sort(np.random.default_rng(0).choice(asking, MAX_QUERIES, replace=False))
    numbers = {head: _numbers(own) for head, own in labels.items()}
    found: dict[str, list[NDArray[np.float64]]] = {head: [] for head in labels}
    for block in blocks(len(asking), len(vectors_nE)):
        rows_q = asking[block]
        ranking = Ranking.of(vectors_nE[rows_q] @ vectors_nE.T)
        other_qn = ranking.order_qG != rows_q[:, None]
        for head, number_n in numbers.items():
            found[head].append(_figures(ranking, other_qn, number_n, rows_q))
    return {head: figures for head, parts in found.items() if (figures := _means(parts, numbers[head]))}


def _numbers(labels: Sequence[str | None]) -> NDArray[np.int64]:
    number = {label: place for place, label in enumerate(dict.fromkeys(labels))} | {None: NONE}
    return np.array([number[label] for label in labels], dtype=np.int64)


def _figures(
    ranking: Ranking, other_qn: NDArray[np.bool_], number_n: NDArray[np.int64], rows_q: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Average precision and nDCG (2, k) of those of a block's rows that ask."""
    ranked_qn = number_n[ranking.order_qG]
    equal_qn = ranked_qn == number_n[rows_q, None]
    right_qn = equal_qn & other_qn & (ranked_qn != NONE)
    hits = ranking.hits(right_qn, ~equal_qn & (ranked_qn != NONE))
    asks_q = right_qn.any(axis=1)
    num = len(rows_q)
    return np.stack([average_precisions(hits, num), discounted_gains(hits, num)])[:, asks_q]


def _means(parts: Sequence[NDArray[np.float64]], number_n: NDArray[np.int64]) -> dict[str, float]:
    figures = np.concatenate(parts, axis=1) if parts else np.empty((2, 0))
    if not figures.shape[1]:
        return {}
    precision, gain = figures.mean(axis=1)
    return {
        "map": float(precision),
        f"ndcg@{DEPTH}": float(gain),
        "queries": figures.shape[1],
        "gallery": int((number_n != NONE).sum()) - 1,
    }
