"""What a seed gives beyond what every store takes from it."""

from pathlib import Path

import pytest

from retrieval.errors import SeedError
from retrieval.item import Item
from retrieval.seed_gallery import read_seed, write_seed
from retrieval.sqlite.store import SqliteStore
from retrieval.store import Embedding, Seed
from tests.retrieval.store_data import NET, OTHER, POOL, POOL_OTHER, entry


@pytest.fixture
def seed(tmp_path: Path) -> Seed:
    items = [Item(id=item_id, text=item_id) for item_id in "abc"]
    write_seed(tmp_path / "seed", items, {"fused": POOL[[1, 2, 3]], "sound": POOL[[1, 2, 3]]}, {"c": b"jpeg"})
    return Seed(version=1, read=lambda: read_seed(tmp_path / "seed"))


def test_an_embedding_that_comes_back_takes_its_vectors_from_its_seed(tmp_path: Path, seed: Seed) -> None:
    store = SqliteStore(tmp_path)
    store.open("shop", NET, model="shop", seed=seed).put([entry("b", text="mine")])
    other = store.open("shop", OTHER, model="shop")
    store.open("shop", NET, model="shop").close()
    store.close()
    store = SqliteStore(tmp_path)
    assert store.forget("shop", "net") == 3
    again = store.open("shop", NET, model="shop", seed=seed)
    assert [pending.id for pending in again.pending(9)] == ["b"]
    assert [match.item.id for match in again.search(POOL[3])] == ["c", "a"]
    other = store.open("shop", OTHER, model="shop")
    assert len(other.pending(9)) == 3
    assert other.search(POOL_OTHER[0]) == []
    assert store.verify("shop") == []
    store.close()


def test_a_seed_of_another_length_is_refused_and_nothing_is_made_of_it(tmp_path: Path, seed: Seed) -> None:
    store = SqliteStore(tmp_path)
    with pytest.raises(SeedError, match="vectors of 8 numbers, not 5"):
        store.open("shop", Embedding(id="net", dimensions=5, targets=("fused",)), model="shop", seed=seed)
    gallery = store.open("shop", NET, model="shop", seed=seed)
    assert len(gallery) == 3
    store.close()


def test_a_seed_with_an_item_that_no_gallery_takes_is_refused(tmp_path: Path) -> None:
    write_seed(tmp_path / "bad", [Item(id="a", text="nul \0")], {"fused": POOL[[1]]}, {})
    store = SqliteStore(tmp_path)
    with pytest.raises(SeedError, match="item 'a': text"):
        store.open("shop", NET, model="shop", seed=Seed(version=1, read=lambda: read_seed(tmp_path / "bad")))
    store.close()
