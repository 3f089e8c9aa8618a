"""What a graph finds of the nearest, with a graph that finds what a test says, and with a real one."""

import numpy as np
import pytest

from retrieval.graph import Graph
from training.measures.index_recall import index_recall


class Blind:
    """Finds the gallery's rows that it was given, whatever is asked."""

    def __init__(self, found: list[int]) -> None:
        self._found = np.array(found, dtype=np.int64)

    def candidates(self, _query_E: np.ndarray, count: int) -> np.ndarray:
        assert count >= 10
        return self._found


def on_circle(degrees: np.ndarray) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("found", "expected"),
    [(list(range(10)), 1.0), (list(range(19, -1, -1)), 1.0), ([0, 1, 2, 15, 16], 0.3), ([], 0.0)],
)
def test_recall_is_the_share_of_the_ten_nearest_that_are_found(
    monkeypatch: pytest.MonkeyPatch, found: list[int], expected: float
) -> None:
    monkeypatch.setattr(Graph, "build", lambda _rows, _vectors: Blind(found))
    gallery = on_circle(np.arange(20.0))  # row 0 is nearest to a query at 0 degrees, then row 1, …
    assert index_recall(on_circle(np.array([0.0])), gallery) == expected


def test_rows_as_near_as_the_last_of_the_ten_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Graph, "build", lambda _rows, _vectors: Blind(list(range(10, 20))))
    assert index_recall(on_circle(np.zeros(1)), on_circle(np.full(20, 5.0))) == 1


def test_of_a_gallery_of_fewer_than_ten_all_are_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Graph, "build", lambda _rows, _vectors: Blind([3, 0]))
    assert index_recall(on_circle(np.zeros(1)), on_circle(np.arange(4.0))) == 1 / 2


def test_a_real_graph_of_few_vectors_finds_all() -> None:
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((200, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert index_recall(vectors[:20], vectors) == 1
