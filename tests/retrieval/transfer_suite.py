"""What a store must do whose galleries can be copied into another. Inherited as the suite of stores is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.errors import GalleryError
from retrieval.item import Item
from retrieval.seed_gallery import read_seed, write_seed
from retrieval.store import Seed
from tests.retrieval.store_data import NET, OTHER, POOL, POOL_OTHER, entry


class TransferSuite:
    """`store` is a store that is empty; Any, for it is a `Store` and `Transferable` at once."""

    @pytest.fixture
    def store(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def filled(self, store: Any, tmp_path: Path) -> Any:
        """A gallery with all that can be in one: of a seed, of users, pending, deleted, without vectors."""
        items = [Item(id=item_id, text=item_id) for item_id in ("seed", "gone")]
        write_seed(tmp_path / "seed", items, {"fused": POOL[[1, 2]]}, {"seed": b"jpeg"})
        seed = Seed(version=3, read=lambda: read_seed(tmp_path / "seed"))
        one = store.open("shop", NET, model="model", seed=seed)
        other = store.open("shop", OTHER, model="model")
        one.put(
            [
                entry(
                    "é",
                    3,
                    labels={"x": ["1", "2"]},
                    metadata={"y": {"z": 1}},
                    image=b"png",
                    thumbnail=b"t",
                    audio=b"RIFF",
                    sensors=b"{}",
                )
            ]
        )
        one.put([entry(f"{number:03}", number) for number in range(450)])
        one.delete(["gone"])
        contents = {pending.id: pending.content for pending in other.pending(9)}
        other.fill({"seed": {"fused": POOL_OTHER[4], "text": POOL_OTHER[5]}, "é": {}}, contents)
        return store

    def test_a_copy_has_all_that_the_gallery_has(self, filled: Any) -> None:
        description = filled.describe("shop")
        assert (description.model, description.seed_version, description.deleted) == ("model", 3, ("gone",))
        assert {one.id: one.dimensions for one in description.embeddings} == {"net": 8, "other": 3}
        records = list(filled.records("shop"))
        assert [record.item.id for record in records] == sorted(record.item.id for record in records)
        assert len(records) == 452
        for start in range(0, 452, 100):
            filled.receive("copy", description, records[start : start + 100])
        again = list(filled.records("copy"))
        assert filled.describe("copy") == description
        for old, new in zip(records, again, strict=True):
            assert (old.item, old.origin, old.image, old.thumbnail, old.audio, old.sensors) == (
                new.item,
                new.origin,
                new.image,
                new.thumbnail,
                new.audio,
                new.sensors,
            )
            assert old.vectors.keys() == new.vectors.keys()
            for embedding_id, vectors in old.vectors.items():
                assert vectors.keys() == new.vectors[embedding_id].keys()
                for target, vector_E in vectors.items():
                    assert np.array_equal(vector_E, new.vectors[embedding_id][target])
        copy = filled.open("copy", OTHER, model="another")
        assert [match.item.id for match in copy.search(POOL_OTHER[4])] == ["seed"]
        assert len(copy.pending(1000)) == 450
        assert filled.models()["copy"] == "model"

    def test_a_copy_goes_on_where_it_was_left_and_may_repeat_itself(self, filled: Any) -> None:
        description, records = filled.describe("shop"), list(filled.records("shop"))
        filled.receive("copy", description, records[:300])
        filled.receive("copy", description, records[200:300])
        rest = list(filled.records("shop", after=records[299].item.id))
        assert [record.item.id for record in rest] == [record.item.id for record in records[300:]]
        filled.receive("copy", description, rest)
        assert [record.item for record in filled.records("copy")] == [record.item for record in records]

    def test_an_older_seed_changes_nothing_in_a_copy(self, filled: Any, tmp_path: Path) -> None:
        filled.receive("copy", filled.describe("shop"), list(filled.records("shop")))
        seed = Seed(version=3, read=lambda: read_seed(tmp_path / "seed"))
        assert filled.open("copy", NET, model="model", seed=seed).get("gone") is None

    def test_what_is_not_there_cannot_be_copied(self, store: Any) -> None:
        with pytest.raises(GalleryError, match="no such gallery"):
            store.describe("none")
        with pytest.raises(GalleryError, match="no such gallery"):
            list(store.records("none"))
