"""A seed that is written can be read, and answers."""

from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import QueryError, SeedError
from retrieval.filter_parsing import parse_filter
from retrieval.gallery import Query
from retrieval.item import Item
from retrieval.seed_gallery import SeedGallery, read_seed, write_seed

NAN = np.nan
ITEMS = [
    Item(id="b", text="bee", labels={"kind": "insect"}, metadata={"legs": 6}),
    Item(id="a", text=None, labels={"kind": "fruit"}),
    Item(id="☃/é", text="line\u2028break\nhere", labels={"kind": ["snow", "man"]}),
]
VECTORS = {
    "fused": np.array([[1, 0], [1, 0], [0, 1]], np.float32),
    "image": np.array([[NAN, NAN], [1, 0], [0, 1]], np.float32),
}
THUMBNAILS = {"☃/é": b"jpeg"}


@pytest.fixture
def gallery(tmp_path: Path) -> SeedGallery:
    write_seed(tmp_path / "seed", ITEMS, VECTORS, THUMBNAILS)
    return read_seed(tmp_path / "seed")


def test_what_was_written_is_read(gallery: SeedGallery) -> None:
    assert len(gallery) == 3
    assert gallery.dimensions == 2
    assert gallery.targets == ("fused", "image")
    assert [item.id for item in gallery.page(limit=9)] == ["a", "b", "☃/é"]
    assert gallery.get("b") == ITEMS[0]
    snow = gallery.get("☃/é")
    assert snow is not None
    assert snow.text == ITEMS[2].text
    assert snow.has_image
    assert gallery.image("☃/é") == b"jpeg"
    assert gallery.image("a") is None
    assert gallery.image("none") is None
    assert gallery.get("none") is None


def test_equal_scores_come_in_the_order_of_ids(gallery: SeedGallery) -> None:
    found = gallery.search(np.array([2, 0], np.float32), Query(top_k=2))
    assert [(match.item.id, match.score) for match in found] == [("a", 1.0), ("b", 1.0)]


def test_items_without_the_vector_are_not_found_by_it(gallery: SeedGallery) -> None:
    found = gallery.search(np.array([1, 0], np.float32), Query(target="image"))
    assert [match.item.id for match in found] == ["a", "☃/é"]
    assert gallery.vector("b", "image") is None
    assert gallery.vector("none") is None
    assert np.allclose(gallery.vector("a", "image"), [1, 0])


def test_the_filter_comes_before_top_k(gallery: SeedGallery) -> None:
    where = parse_filter({"labels.kind": "man"})
    found = gallery.search(np.array([1, 0], np.float32), Query(top_k=1, where=where))
    assert [match.item.id for match in found] == ["☃/é"]


def test_pages_follow_one_another(gallery: SeedGallery) -> None:
    assert [item.id for item in gallery.page(limit=1, after="a")] == ["b"]
    assert [item.id for item in gallery.page(limit=5, after="aa")] == ["b", "☃/é"]


def test_an_unknown_target_names_those_that_there_are(gallery: SeedGallery) -> None:
    with pytest.raises(QueryError, match="fused, image"):
        gallery.search(np.array([1, 0], np.float32), Query(target="audio"))


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_seed(tmp_path / name, ITEMS, VECTORS, THUMBNAILS)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_an_empty_gallery_finds_nothing(tmp_path: Path) -> None:
    write_seed(tmp_path, [], {"fused": np.empty((0, 2), np.float32)}, {})
    assert read_seed(tmp_path).search(np.array([1, 0], np.float32)) == []


@pytest.mark.parametrize(
    ("items", "vectors", "thumbnails"),
    [
        ([ITEMS[0], ITEMS[0]], {"fused": VECTORS["fused"][:2]}, {}),
        ([Item(id="")], {"fused": VECTORS["fused"][:1]}, {}),
        (ITEMS, {"fused": VECTORS["fused"][:1]}, {}),
        (ITEMS, {"image": VECTORS["image"]}, {}),
        (ITEMS, VECTORS, {"other": b""}),
    ],
)
def test_what_does_not_belong_together_is_not_written(
    tmp_path: Path, items: list[Item], vectors: dict[str, np.ndarray], thumbnails: dict[str, bytes]
) -> None:
    with pytest.raises(ValueError, match="item"):
        write_seed(tmp_path, items, vectors, thumbnails)


@pytest.mark.parametrize("name", ["items.jsonl", "vectors.safetensors", "thumbnails.zip"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_seed_is_refused_with_the_remedy(tmp_path: Path, name: str, damage: str) -> None:
    write_seed(tmp_path, ITEMS, VECTORS, THUMBNAILS)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if damage == "cut":
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(SeedError, match="Restore"):
        read_seed(tmp_path)


def test_pages_and_a_left_out_item_agree_with_the_whole_ranking(gallery: SeedGallery) -> None:
    query = np.array([2, 1], np.float32)
    whole = gallery.search(query, Query(top_k=9))
    first = gallery.search(query, Query(top_k=1))
    rest = gallery.search(query, Query(top_k=9, after=(first[-1].score, first[-1].item.id)))
    assert [*first, *rest] == whole
    assert gallery.search(query, Query(top_k=9, exclude=whole[0].item.id)) == whole[1:]
