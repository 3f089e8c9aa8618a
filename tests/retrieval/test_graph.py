"""The graph finds nearly all of what an exact search finds, and its files are checked before use."""

import threading
from pathlib import Path

import numpy as np
import pytest

from retrieval.gallery import Floats
from retrieval.graph import Graph, GraphError

DIMENSIONS = 32


def clustered(count: int, seed: int) -> Floats:
    """Unit vectors around 200 centres, as items of a shop are around kinds of articles."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(200, DIMENSIONS))
    vectors = centres[random.integers(0, 200, count)] + 0.5 * random.normal(size=(count, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUERIES = clustered(5000, 1), clustered(200, 2)
ROWS = np.arange(5000) * 2


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.build(ROWS, VECTORS)


def recall(graph: Graph, vectors: Floats, top_k: int = 10) -> float:
    hits = 0
    for query in QUERIES:
        exact = set(np.argsort(-(vectors @ query))[:top_k].tolist())
        hits += len(exact & set(graph.candidates(query, 2 * top_k).tolist()))
    return hits / (top_k * len(QUERIES))


def test_candidates_hold_nearly_all_of_the_nearest(graph: Graph) -> None:
    assert recall(graph, VECTORS) >= 0.99


def test_a_graph_that_was_extended_numbers_on_and_the_first_stays_as_it_was(graph: Graph) -> None:
    more = clustered(1000, 3)
    larger = graph.extended(np.arange(1000) + 7, more)
    assert (len(graph), len(larger)) == (5000, 6000)
    assert recall(larger, np.concatenate([VECTORS, more])) >= 0.99
    assert larger.candidates(more[7], 1).tolist() == [5007]
    assert larger.rows_n[[4999, 5007]].tolist() == [9998, 14]
    assert np.allclose(larger.vector(5007), more[7], atol=1e-3)


def test_a_few_vectors_are_all_found(graph: Graph) -> None:
    few = Graph.build(ROWS[:3], VECTORS[:3])
    assert sorted(few.candidates(QUERIES[0], 50).tolist()) == [0, 1, 2]


def test_what_was_saved_finds_the_same(graph: Graph, tmp_path: Path) -> None:
    graph.save(tmp_path / "it.graph")
    again = Graph.load(tmp_path / "it.graph", DIMENSIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["it.graph"]
    assert np.array_equal(again.rows_n, ROWS)
    for query in QUERIES[:20]:
        assert again.candidates(query, 20).tolist() == graph.candidates(query, 20).tolist()


def test_a_file_that_is_not_as_it_was_written_is_refused(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "it.graph"
    graph.save(path)
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[len(whole) // 2] ^= 0xFF
    for contents in (b"", whole[:10], whole[:-1], bytes(altered), b"x" * 100):
        path.write_bytes(contents)
        with pytest.raises(GraphError, match=r"it\.graph"):
            Graph.load(path, DIMENSIONS)


def test_a_file_of_other_vectors_is_refused(graph: Graph, tmp_path: Path) -> None:
    graph.save(tmp_path / "it.graph")
    with pytest.raises(GraphError, match="32 dimensions, not of 16"):
        Graph.load(tmp_path / "it.graph", 16)


def test_building_stops_when_it_is_told_to() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedError):
        Graph.build(ROWS, VECTORS, stop)
