"""Of many vectors a graph finds candidates; what it lacks is found all the same, and its file is checked."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval.filter import Field
from retrieval.filter import Test as Condition
from retrieval.gallery import Entry, Floats, Query, WritableGallery
from retrieval.graph import Graph
from retrieval.item import Item
from retrieval.sqlite import row_index
from retrieval.sqlite.graphs import Graphs, path_of
from retrieval.sqlite.row_index import RowIndex
from retrieval.sqlite.store import SqliteStore
from retrieval.store import Embedding

DIMENSIONS = 16
EMBEDDING = Embedding(id="e" * 64, dimensions=DIMENSIONS, targets=("fused",))


def vectors(count: int, seed: int = 0) -> Floats:
    found = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


ALL = vectors(1000)
QUERIES = vectors(50, 1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "EXACT_VECTORS", 100)


def filled(count: int = 1000) -> RowIndex:
    return RowIndex(np.arange(count) + 1, ALL[:count].copy())


def with_graph(index: RowIndex) -> RowIndex:
    return index.with_graph(index.larger_graph(threading.Event()))


def recall(index: RowIndex, exact: RowIndex, allowed: np.ndarray | None = None) -> float:
    hits = 0
    for query in QUERIES:
        found, _ = index.search(query, 10, allowed)
        assert len(found) == 10
        hits += len(set(found.tolist()) & set(exact.search(query, 10, allowed)[0].tolist()))
    return hits / (10 * len(QUERIES))


def test_a_graph_finds_nearly_what_an_exact_search_finds_with_the_same_scores() -> None:
    exact = filled()
    index = with_graph(exact)
    assert index.covered is not None
    assert recall(index, exact) >= 0.99
    found, scores = index.search(QUERIES[0], 10)
    assert np.array_equal(scores, np.round(ALL[found - 1] @ QUERIES[0], 6))
    assert (np.diff(scores) <= 0).all()


def test_what_came_after_the_graph_is_found_and_what_went_is_not() -> None:
    index = with_graph(filled(900)).changed({2000: QUERIES[0], 2001: QUERIES[1]}, [5])
    assert index.search(QUERIES[0], 1)[0].tolist() == [2000]
    assert index.search(QUERIES[1], 1)[0].tolist() == [2001]
    assert 5 not in index.search(ALL[4], 20)[0]


def test_a_filter_keeps_its_count_however_few_it_lets_through() -> None:
    exact = filled()
    index = with_graph(exact)
    for allowed in (np.arange(1, 1001, 2), np.array([3, 500, 1000]), np.arange(700, 1001)):
        wanted = min(10, len(allowed))
        for query in QUERIES[:10]:
            found, _ = index.search(query, wanted, allowed)
            assert len(found) == wanted
            assert set(found.tolist()) <= set(allowed.tolist())
    assert recall(index, exact, np.arange(1, 1001, 2)) >= 0.99


def test_a_graph_of_an_earlier_state_serves_a_later_one() -> None:
    earlier = filled(800)
    graph = earlier.larger_graph(threading.Event())
    later = earlier.changed({row + 1: ALL[row] for row in range(800, 1000)}, list(range(1, 200)))
    index = later.with_graph(graph)
    assert recall(index, later) >= 0.99
    larger = index.larger_graph(threading.Event())
    assert len(larger) == 1000
    assert recall(later.with_graph(larger), later) >= 0.99


def test_where_most_is_gone_the_rest_is_searched_exactly() -> None:
    index = with_graph(filled()).changed({}, list(range(1, 700)))
    assert index.covered is None
    assert index.search(ALL[800], 1)[0].tolist() == [801]


def near(direction: Floats, count: int, seed: int) -> Floats:
    """Unit vectors about a direction."""
    found = direction + 0.1 * np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_what_is_allowed_is_found_where_all_that_is_near_is_not() -> None:
    """The graph's candidates are all ruled out, and what came after it is farther than what it knows."""
    axes = np.eye(DIMENSIONS, dtype=np.float32)
    base = RowIndex(np.arange(1, 4601), np.concatenate([near(axes[0], 4000, 1), near(axes[1], 600, 2)]))
    far = near(-axes[0], 50, 3)
    index = with_graph(base).changed({4601 + number: vector for number, vector in enumerate(far)}, [])
    found, _ = index.search(axes[0], 10, np.arange(4001, 4651))
    assert (found <= 4600).all()
    found, _ = index.changed({}, list(range(1, 2001))).search(axes[0], 10)
    assert (found <= 4000).all()


def test_a_row_that_was_filled_late_is_found_by_a_graph_that_lacks_it() -> None:
    rows = np.array([row for row in range(1, 1001) if row != 500])
    graph = RowIndex(rows, ALL[rows - 1]).larger_graph(threading.Event())
    loaded = filled().with_graph(graph)
    assert loaded.search(ALL[499], 1)[0].tolist() == [500]
    larger = loaded.larger_graph(threading.Event())
    assert sorted(larger.rows_n.tolist()) == list(range(1, 1001))


def test_vectors_that_moved_to_new_rows_are_found_before_and_after_the_next_graph() -> None:
    index = with_graph(filled()).moved({row: row + 5000 for row in range(1, 301)})
    assert index.covered is not None
    for step in range(2):
        assert index.search(ALL[0], 1)[0].tolist() == [5001]
        assert index.search(ALL[999], 1)[0].tolist() == [1000]
        index = index.changed({9000 + step: QUERIES[step]}, [])
        index = with_graph(index)
        assert index.covered is not None
        assert len(index.covered.graph) == 1001 + step
    assert index.search(QUERIES[0], 1)[0].tolist() == [9000]
    stale = filled().larger_graph(
        threading.Event()
    )  # as it is read from a file that was written before they moved
    again = filled().moved({row: row + 5000 for row in range(1, 301)}).with_graph(stale)
    assert again.search(ALL[0], 1)[0].tolist() == [5001]


def entries(start: int, stop: int) -> list[Entry]:
    return [
        Entry(item=Item(id=f"{row:04}", labels={"half": str(row % 2)}), vectors={"fused": ALL[row]})
        for row in range(start, stop)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    store = SqliteStore(tmp_path)
    gallery = store.open("g", EMBEDDING, model="m")
    gallery.put(entries(0, 600))
    wait_for_graph(tmp_path)
    gallery.put(entries(600, 1000))
    gallery.delete(["0000"])
    check(gallery)
    store.close()
    return tmp_path


def wait_for_graph(folder: Path) -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("graph-"):
            thread.join(30)
    assert path_of(folder / "galleries/g.db", 1).exists()


def check(gallery: WritableGallery) -> None:
    for row in (1, 599, 600, 999):
        assert gallery.search(ALL[row], Query(top_k=1))[0].item.id == f"{row:04}"
    where = Condition(Field("labels", "half"), "eq", "1")
    assert gallery.search(ALL[600], Query(top_k=1, where=where))[0].item.labels == {"half": "1"}
    assert len(gallery.search(ALL[0], Query(top_k=400, where=where))) == 400
    assert gallery.search(ALL[0], Query(top_k=1))[0].item.id != "0000"


def test_a_graph_is_built_beside_the_writes_and_read_at_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_graph(folder)
    monkeypatch.setattr(RowIndex, "larger_graph", None)  # none is built: that of before is enough
    store = SqliteStore(folder)
    check(store.open("g", EMBEDDING, model="m"))
    store.close()


def test_a_graph_of_other_vectors_or_a_broken_one_is_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = path_of(folder / "galleries/g.db", 1)
    Graph.build(np.arange(600) + 1, vectors(600, 7)).save(path)
    index = filled()
    assert Graphs(folder / "galleries/g.db").known(1, index) is index
    assert "of other vectors" in caplog.text
    path.write_bytes(b"broken")
    assert Graphs(folder / "galleries/g.db").known(1, index) is index
    store = SqliteStore(folder)
    check(store.open("g", EMBEDDING, model="m"))
    store.close()


def test_an_embedding_that_is_forgotten_leaves_no_graph(folder: Path) -> None:
    store = SqliteStore(folder)
    assert store.forget("g", EMBEDDING.id) == 999
    assert list((folder / "galleries").glob("g.db-graph*")) == []
    store.close()


def test_a_dropped_gallery_leaves_no_graph(folder: Path) -> None:
    store = SqliteStore(folder)
    assert store.drop("g")
    assert list((folder / "galleries").glob("g.db*")) == []
    store.close()
