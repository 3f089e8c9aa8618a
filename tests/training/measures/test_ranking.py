"""Ranks and what they are worth, on vectors and scores that can be checked by hand, and against slow formulas."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.measures import ranking
from training.measures.ranking import Hits, Ranking, average_precisions, blocks, discounted_gains, retrieval

EAST, NORTH, WEST = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)


def hits_of(scores: list[float], right: list[int], wrong: list[int]) -> Hits:
    """Of a single query; rows are right, wrong, or neither."""
    made = Ranking.of(np.array([scores]))
    masks = [np.isin(made.order_qG, rows) for rows in (right, wrong)]
    return made.hits(*masks)


def test_ranks_by_hand() -> None:
    queries = np.array([EAST, EAST, EAST])
    gallery = np.array([EAST, NORTH, WEST])
    figures = retrieval(queries, gallery, [np.array([0]), np.array([1]), np.array([2])])  # ranks 1, 2 and 3
    assert figures["r@1"] == pytest.approx(1 / 3)
    assert figures["r@5"] == figures["r@10"] == 1
    assert figures["median_rank"] == 2
    assert figures["ndcg@10"] == pytest.approx((1 + 1 / log2(3) + 1 / 2) / 3)
    assert figures["queries"] == figures["gallery"] == 3


def test_ties_count_against_us() -> None:
    figures = retrieval(np.array([EAST]), np.array([EAST] * 20), [np.array([0])])
    assert figures["r@10"] == figures["ndcg@10"] == 0
    assert figures["median_rank"] == 20


def test_any_of_several_relevant_rows_will_do_and_they_do_not_compete() -> None:
    figures = retrieval(np.array([EAST]), np.array([EAST, EAST, NORTH]), [np.array([0, 1])])
    assert figures["r@1"] == figures["ndcg@10"] == 1
    figures = retrieval(np.array([EAST]), np.array([EAST, NORTH, WEST]), [np.array([0, 2])])  # ranks 1 and 3
    assert figures["r@1"] == 1
    assert figures["ndcg@10"] == pytest.approx((1 + 1 / 2) / (1 + 1 / log2(3)))


def test_equal_vectors_tie_whatever_the_last_bits_of_their_scores() -> None:
    hits = hits_of([0.5, np.nextafter(0.5, 0)], right=[0], wrong=[1])
    assert hits.rank_h.tolist() == [2]


def test_right_answers_stand_behind_wrong_ones_of_an_equal_score() -> None:
    # 0.9: right; 0.8: a wrong one, then two right; 0.7: right. Ranks 1, 3, 4, 5.
    hits = hits_of([0.8, 0.9, 0.8, 0.7, 0.8], right=[0, 1, 3, 4], wrong=[2])
    assert hits.nth_h.tolist() == [1, 2, 3, 4]
    assert hits.rank_h.tolist() == [1, 3, 4, 5]
    assert average_precisions(hits, 1).tolist() == [pytest.approx((1 / 1 + 2 / 3 + 3 / 4 + 4 / 5) / 4)]


def test_a_row_that_is_neither_right_nor_wrong_is_not_there() -> None:
    hits = hits_of([0.9, 0.8, 0.7], right=[2], wrong=[1])
    assert hits.rank_h.tolist() == [2]


def test_average_precision_is_the_mean_of_the_precisions_down_to_each_right_answer() -> None:
    # Right at ranks 1, 3 and 6.
    hits = hits_of([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], right=[0, 2, 5], wrong=[1, 3, 4])
    assert average_precisions(hits, 1).tolist() == [pytest.approx((1 + 2 / 3 + 3 / 6) / 3)]


def test_a_gain_counts_down_to_the_depth_and_the_ideal_is_as_deep() -> None:
    # Ranks 1, 2 and 4 of which a depth of 2 sees two: as good as can be. A depth of 3 misses the third.
    hits = hits_of([0.9, 0.8, 0.7, 0.6], right=[0, 1, 3], wrong=[2])
    assert discounted_gains(hits, 1, depth=2).tolist() == [1]
    first_two = 1 + 1 / log2(3)
    assert discounted_gains(hits, 1, depth=3).tolist() == [pytest.approx(first_two / (first_two + 1 / 2))]


def test_a_query_without_a_right_answer_gains_nothing() -> None:
    hits = hits_of([0.9, 0.8], right=[], wrong=[0, 1])
    assert average_precisions(hits, 1).tolist() == discounted_gains(hits, 1).tolist() == [0]


def test_blocks_cover_all_queries_and_hold_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "BLOCK_SCORES", 20)
    assert list(blocks(5, 10)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(blocks(2, 1_000)) == [slice(0, 1), slice(1, 2)]


def slow_ranks(scores: list[float], right: set[int]) -> list[int]:
    """Places of the right rows, from 1 on, where the wrong ones of an equal score stand first."""
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row in right))
    return [place for place, row in enumerate(order, 1) if row in right]


def slow_precision(ranks: list[int]) -> float:
    return sum(sum(other <= rank for other in ranks) / rank for rank in ranks) / len(ranks)


def slow_gain(ranks: list[int], depth: int) -> float:
    ideal = sum(1 / log2(place + 1) for place in range(1, min(depth, len(ranks)) + 1))
    return sum(1 / log2(rank + 1) for rank in ranks if rank <= depth) / ideal


# Vectors of small whole numbers: their products are exact, and many of them equal.
@given(st.integers(1, 6), st.integers(1, 25), st.integers(0, 10_000), st.sampled_from([1, 20, 1000]))
def test_figures_equal_those_of_slow_formulas_whatever_the_block(
    num_queries: int, num_rows: int, seed: int, block_scores: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = rng.integers(-2, 3, (num_queries, 3)), rng.integers(-2, 3, (num_rows, 3))
    relevant = [rng.permutation(num_rows)[: rng.integers(1, num_rows + 1)] for _ in range(num_queries)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "BLOCK_SCORES", block_scores)
        figures = retrieval(queries.astype(np.float32), gallery.astype(np.float32), relevant)
    ranks = [
        slow_ranks((gallery @ query).tolist(), set(rows.tolist()))
        for query, rows in zip(queries, relevant, strict=True)
    ]
    assert figures["median_rank"] == np.median([own[0] for own in ranks])
    for depth in (1, 5, 10):
        assert figures[f"r@{depth}"] == pytest.approx(np.mean([own[0] <= depth for own in ranks]))
    assert figures["ndcg@10"] == pytest.approx(np.mean([slow_gain(own, 10) for own in ranks]))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30), st.integers(1, 12))
def test_precision_and_gain_equal_those_of_slow_formulas(rows: list[tuple[int, bool]], depth: int) -> None:
    scores = [float(score) for score, _ in rows]
    right = [row for row, (_, held) in enumerate(rows) if held]
    hits = hits_of(scores, right, [row for row in range(len(rows)) if row not in right])
    ranks = slow_ranks(scores, set(right))
    assert hits.rank_h.tolist() == ranks
    assert average_precisions(hits, 1)[0] == pytest.approx(slow_precision(ranks) if ranks else 0)
    assert discounted_gains(hits, 1, depth)[0] == pytest.approx(slow_gain(ranks, depth) if ranks else 0)
