"""Two embeddings of one gallery, written through in any order, alone or together, agree with a plain model."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.gallery import Query
from retrieval.sqlite.store import SqliteStore
from retrieval.sqlite.view import SqliteGallery
from tests.retrieval.store_data import NET, OTHER, POOL, POOL_OTHER, entry

POOLS = (POOL, POOL_OTHER)
IDS, TEXTS = st.sampled_from("abcd"), st.sampled_from([None, "x", "y"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 1), st.dictionaries(IDS, TEXTS, max_size=3)),
        st.tuples(st.just("delete"), st.integers(0, 1), st.lists(IDS, max_size=2)),
        st.tuples(st.just("fill"), st.integers(0, 1), st.lists(IDS, max_size=3)),
    ),
    min_size=1,
    max_size=8,
)


class Model:
    """Of each item its text, and what each embedding has of it: the number of a vector, or nothing yet."""

    def __init__(self) -> None:
        self.texts: dict[str, str | None] = {}
        self.vectors: tuple[dict[str, int], dict[str, int]] = ({}, {})

    def put(self, view: int, texts: dict[str, str | None], number: int) -> list[bool]:
        created = [item_id not in self.texts for item_id in texts]
        for item_id, text in texts.items():
            if self.texts.get(item_id) != text or item_id not in self.texts:
                self.vectors[1 - view].pop(item_id, None)
            self.texts[item_id] = text
            self.vectors[view][item_id] = number
        return created

    def delete(self, item_ids: list[str]) -> list[bool]:
        for vectors in self.vectors:
            for item_id in item_ids:
                vectors.pop(item_id, None)
        return [self.texts.pop(item_id, self) is not self for item_id in item_ids]

    def fill(self, view: int, item_ids: list[str], number: int) -> int:
        wanted = {one for one in item_ids if one in self.texts and one not in self.vectors[view]}
        self.vectors[view].update(dict.fromkeys(wanted, number))
        return len(wanted)


def calls(views: list[SqliteGallery], model: Model, steps: list, contents: dict) -> list[tuple[Callable, object]]:
    """Each step as a call of a view, and what it must answer."""
    made: list[tuple[Callable, object]] = []
    for number, (kind, view, value) in enumerate(steps):
        gallery, pool = views[view], POOLS[view]
        if kind == "put":
            entries = [entry(item_id, number, text=text, pool=pool) for item_id, text in value.items()]
            if entries:  # nothing is asked of the file otherwise
                made.append((lambda g=gallery, e=entries: g.put(e), model.put(view, value, number)))
        elif kind == "delete":
            made.append((lambda g=gallery, v=value: g.delete(v), model.delete(value)))
        else:
            vectors = {item_id: {"fused": pool[number % 12]} for item_id in value}
            now = {item_id: contents[text] for item_id, text in model.texts.items()}
            made.append((lambda g=gallery, v=vectors, c=now: g.fill(v, c), model.fill(view, value, number)))
    return made


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(STEPS, st.booleans())
def test_items_keep_vectors_of_what_did_not_change(steps: list, together: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(8) as pool:
        store = SqliteStore(Path(folder))
        views = [store.open("shop", embedding, model="shop") for embedding in (NET, OTHER)]
        model = Model()
        for done, expected in calls(views, model, steps, contents_of(store)):
            if not together:
                assert done() == expected
        if together:
            run_together(views[0], pool, calls(views, Model(), steps, contents_of(store)))
        for view, gallery in enumerate(views):
            found = gallery.search(POOLS[view][0], Query(top_k=99))
            assert {match.item.id for match in found} == model.vectors[view].keys()
            assert all(match.item.text == model.texts[match.item.id] for match in found)
            for item_id, number in model.vectors[view].items():
                best = gallery.search(POOLS[view][number % 12], Query(top_k=99))
                assert next(match.score for match in best if match.item.id == item_id) > 0.9999
            waiting = {pending.id for pending in gallery.pending(99)}
            assert waiting == model.texts.keys() - model.vectors[view].keys()
        assert store.verify("shop") == []
        store.close()


def contents_of(store: SqliteStore) -> dict[str | None, int]:
    """What `Pending.content` is for each text, asked of a gallery of its own."""
    one, other = (store.open("contents", embedding, model="shop") for embedding in (NET, OTHER))
    one.put([entry(str(text), text=text) for text in (None, "x", "y")])
    return {pending.text: pending.content for pending in other.pending(9)}


def run_together(view: SqliteGallery, pool: ThreadPoolExecutor, made: list[tuple[Callable, object]]) -> None:
    """Have all calls wait in their order, and be done in one transaction."""
    turns = view._live.file._turns
    futures = []
    with turns.alone():
        for call, _ in made:
            before = len(turns)
            futures.append(pool.submit(call))
            while len(turns) == before:
                pass
    assert [future.result(timeout=60) for future in futures] == [expected for _, expected in made]
