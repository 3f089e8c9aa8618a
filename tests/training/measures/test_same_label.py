"""Rows of an equal label among one another, on vectors that can be checked by eye, and against a slow formula."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.measures.test_ranking import slow_gain, slow_precision, slow_ranks
from training.measures import ranking
from training.measures import same_label as module
from training.measures.same_label import same_label


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_a_row_asks_for_all_others_of_its_label_by_hand() -> None:
    figures = same_label(on_circle(0, 10, 30, 70), {"colour": ["red", "blue", "red", "blue"]})["colour"]
    # The other of its label is at rank 2 (0: 10, 30), 3 (10: 0, 30, 70), 2 (30: 10, 0) and 2 (70: 30, 10).
    assert figures["map"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4)
    assert figures["ndcg@10"] == pytest.approx((3 / log2(3) + 1 / 2) / 4)
    assert (figures["queries"], figures["gallery"]) == (4, 3)


def test_a_row_does_not_find_itself() -> None:
    # Where it did, it would be first, and each precision 1.
    assert same_label(on_circle(0, 1, 90), {"colour": ["red", "blue", "red"]})["colour"]["map"] == 1 / 2


def test_rows_without_a_label_neither_ask_nor_stand_in_the_way() -> None:
    figures = same_label(on_circle(0, 1, 2, 90), {"colour": ["red", None, None, "red"]})["colour"]
    assert figures == {"map": 1, "ndcg@10": 1, "queries": 2, "gallery": 1}


def test_a_label_of_a_single_row_asks_for_nothing_but_is_wrong_for_others() -> None:
    figures = same_label(on_circle(0, 1, 90), {"colour": ["red", "blue", "red"]})["colour"]
    assert figures["queries"] == 2


@pytest.mark.parametrize("labels", [[None, None], ["red", "blue"], ["red", None]])
def test_a_head_in_which_nothing_is_asked_is_left_out(labels: list[str | None]) -> None:
    assert same_label(on_circle(0, 1), {"colour": labels}) == {}


def test_no_rows_have_no_figures() -> None:
    assert same_label(on_circle(), {"colour": []}) == {}


def test_of_many_rows_some_ask_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUERIES", 3)
    vectors, labels = on_circle(*range(10)), {"colour": ["red"] * 10}
    assert same_label(vectors, labels)["colour"] == {"map": 1, "ndcg@10": 1, "queries": 3, "gallery": 9}


@given(st.integers(2, 15), st.integers(0, 10_000), st.sampled_from([1, 40, 1000]))
def test_figures_equal_those_of_slow_formulas_whatever_the_block(rows: int, seed: int, block_scores: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (rows, 3))
    labels = {head: [(None, "a", "b", "c")[number] for number in rng.integers(0, 4, rows)] for head in "xy"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "BLOCK_SCORES", block_scores)
        found = same_label(vectors.astype(np.float32), labels)
    for head, own in labels.items():
        ranks = []
        for row in range(rows):
            others = [other for other in range(rows) if other != row and own[other] is not None]
            right = {place for place, other in enumerate(others) if own[other] == own[row]}
            if own[row] is not None and right:
                ranks.append(slow_ranks((vectors[others] @ vectors[row]).tolist(), right))
        assert (head in found) == bool(ranks)
        if ranks:
            assert found[head]["map"] == pytest.approx(np.mean([slow_precision(places) for places in ranks]))
            assert found[head]["ndcg@10"] == pytest.approx(np.mean([slow_gain(places, 10) for places in ranks]))
            assert found[head]["queries"] == len(ranks)
