"""Exact search against sorting everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.exact import ExactIndex, unit_query


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_the_index_equals_sorting_everything(seed: int, num_items: int, top_k: int, filtered: bool) -> None:
    random = np.random.default_rng(seed)
    # Few distinct directions, so that there are ties to break.
    vectors = random.integers(-1, 2, (num_items, 3)).astype(np.float32) + np.float32(0.5)
    rows = random.permutation(2 * num_items)[:num_items]
    rank = random.permutation(2 * num_items)
    allowed = random.random(2 * num_items) < 0.5 if filtered else None
    query = unit_query(np.array([1, 0, 0.5], np.float32), 3)

    found, scores = ExactIndex(vectors, rows, rank).search(query, top_k, allowed)

    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    everything = [
        (-round(float(cosine), 5), rank[row], row)
        for cosine, row in zip(unit @ query, rows, strict=True)
        if allowed is None or allowed[row]
    ]
    assert found.tolist() == [row for _, _, row in sorted(everything)[:top_k]]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_the_score_is_the_cosine_whatever_the_lengths() -> None:
    index = ExactIndex(np.array([[3, 0], [3, 3]], np.float32), np.arange(2), np.arange(2))
    _, scores = index.search(unit_query(np.array([9, 0], np.float32), 2), 5)
    assert scores.tolist() == pytest.approx([1.0, 0.707107], abs=1e-6)


@pytest.mark.parametrize("vector", [[0, 0], [1], [np.nan, 1], [np.inf, 1]])
def test_a_query_without_direction_is_refused(vector: list[float]) -> None:
    with pytest.raises(QueryError):
        unit_query(np.array(vector, np.float32), 2)
