"""What every store must do. The tests of each store inherit this, and say how theirs is opened."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.errors import GalleryError, QueryError
from retrieval.filter import Field, Filter, predicate
from retrieval.filter_parsing import parse_filter
from retrieval.gallery import Entry, Query, WritableGallery
from retrieval.item import Item
from retrieval.seed_gallery import read_seed, write_seed
from retrieval.store import Embedding, Seed, Store
from tests.retrieval import store_data as data
from tests.retrieval.store_data import NET, OTHER, POOL, POOL_OTHER, DictGallery, agree, entry

ANYTHING = Query(top_k=1000)
names = (f"gallery-{number}" for number in itertools.count())
patient = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


def ids(gallery: WritableGallery, query: Query = ANYTHING) -> list[str]:
    return [match.item.id for match in gallery.search(POOL[0], query)]


def seed(folder: Path, version: int, items: list[Item], numbers: list[int], thumbnails: dict[str, bytes]) -> Seed:
    vectors = {"fused": POOL[numbers], "text": POOL[numbers]}
    write_seed(folder / str(version), items, vectors, thumbnails)
    return Seed(version=version, read=lambda: read_seed(folder / str(version)))


def fill(gallery: WritableGallery) -> int:
    """Fill some pending items by the number in their text. Returns how many were pending."""
    pending = gallery.pending(7)
    vectors = {item.id: {"fused": POOL_OTHER[int(item.text or "")]} for item in pending}
    gallery.fill(vectors, {item.id: item.content for item in pending})
    return len(pending)


def keep_filling(gallery: WritableGallery, stop: threading.Event) -> None:
    while not stop.is_set():
        fill(gallery)


class StoreSuite:
    """A class that inherits it gives `reopen`; what a store wrote, the next one must find."""

    @pytest.fixture
    def reopen(self) -> Callable[[], Store]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, reopen: Callable[[], Store]) -> Iterator[Store]:
        store = reopen()
        yield store
        store.close()

    @pytest.fixture
    def gallery(self, store: Store) -> WritableGallery:
        return store.open("shop", NET, model="shop")

    # Items.

    def test_an_empty_gallery_finds_nothing(self, gallery: WritableGallery) -> None:
        assert (len(gallery), gallery.dimensions, gallery.targets) == (0, 8, ("fused", "image", "text"))
        assert gallery.search(POOL[0]) == []
        assert list(gallery.page(limit=5)) == []
        assert gallery.delete(["a"]) == [False]
        assert gallery.put([]) == []
        assert list(gallery.pending(5)) == []

    def test_what_was_put_is_read_and_found(self, gallery: WritableGallery) -> None:
        one = entry(
            "☃/é",
            3,
            text="line\u2028break",
            labels={"colour": "Red", "tags": ["b", "a"]},
            metadata={"year": 2015, "shop": {"city": "Ulm"}, "none": None, "ratio": 0.1, "sale": True},
            image=b"png",
            thumbnail=b"jpeg",
            targets=("fused", "text"),
        )
        assert gallery.put([one, entry("b", 4)]) == [True, True]
        assert gallery.get("☃/é") == one.item
        assert gallery.get("none") is None
        assert len(gallery) == 2
        assert (gallery.image("☃/é"), gallery.thumbnail("☃/é")) == (b"png", b"jpeg")
        assert (gallery.image("b"), gallery.thumbnail("b"), gallery.image("none")) == (None, None, None)
        unit = POOL[3] / np.linalg.norm(POOL[3])
        assert np.allclose(gallery.vector("☃/é"), unit, atol=1e-3)
        assert gallery.vector("☃/é", "image") is None
        assert gallery.vector("none") is None
        best = gallery.search(POOL[3] * 7)[0]
        assert (best.item, best.score) == (one.item, 1.0)
        assert ids(gallery, Query(target="text")) == ["☃/é"]

    def test_the_image_is_its_thumbnail_where_only_that_is_kept(self, gallery: WritableGallery) -> None:
        gallery.put([entry("a", thumbnail=b"jpeg"), entry("b", image=b"png")])
        assert (gallery.image("a"), gallery.thumbnail("a")) == (b"jpeg", b"jpeg")
        assert (gallery.image("b"), gallery.thumbnail("b")) == (b"png", None)
        a, b = gallery.get("a"), gallery.get("b")
        assert a is not None
        assert b is not None
        assert a.has_image
        assert b.has_image

    def test_a_recording_is_kept_as_it_was_sent_and_goes_with_its_item(self, gallery: WritableGallery) -> None:
        gallery.put([entry("a", audio=b"RIFF"), entry("b", image=b"png")])
        found = [gallery.get(item_id) for item_id in ("a", "b")]
        assert [item.has_audio for item in found if item is not None] == [True, False]
        assert (gallery.audio("a"), gallery.audio("b"), gallery.audio("none")) == (b"RIFF", None, None)
        gallery.put([entry("a")])
        assert gallery.audio("a") is None
        gallery.put([entry("a", audio=b"fLaC")])
        gallery.delete(["a"])
        assert gallery.audio("a") is None

    def test_readings_are_kept_and_go_with_their_item(self, gallery: WritableGallery) -> None:
        gallery.put([entry("a", sensors=b"{}"), entry("b", audio=b"RIFF")])
        found = [gallery.get(item_id) for item_id in ("a", "b")]
        assert [item.has_sensors for item in found if item is not None] == [True, False]
        assert (gallery.sensors("a"), gallery.sensors("b"), gallery.sensors("none")) == (b"{}", None, None)
        gallery.put([entry("a")])
        assert gallery.sensors("a") is None
        gallery.put([entry("a", sensors=b"{1}")])
        gallery.delete(["a"])
        assert gallery.sensors("a") is None

    def test_files_decide_whether_an_item_has_an_image(self, gallery: WritableGallery) -> None:
        one = entry("a")
        gallery.put([replace(one, item=replace(one.item, has_image=True))])
        assert gallery.get("a") == one.item

    def test_a_put_replaces_the_whole_item(self, gallery: WritableGallery) -> None:
        old = entry(
            "a", 1, text="old", labels={"x": "1"}, image=b"png", thumbnail=b"t", targets=("fused", "image")
        )
        new = entry("a", 5, metadata={"y": 2})
        assert gallery.put([old]) == [True]
        assert gallery.put([new]) == [False]
        assert gallery.get("a") == new.item
        assert (gallery.image("a"), gallery.thumbnail("a"), len(gallery)) == (None, None, 1)
        assert ids(gallery, Query(target="image")) == []
        assert gallery.search(POOL[5])[0].score == 1.0
        assert gallery.search(POOL[1])[0].score < 0.99
        assert ids(gallery, Query(where=parse_filter({"labels.x": "1"}))) == []
        assert ids(gallery, Query(where=parse_filter({"metadata.y": 2}))) == ["a"]

    def test_of_equal_ids_the_last_stays(self, gallery: WritableGallery) -> None:
        assert gallery.put([entry("a", 1, text="one"), entry("a", 2, text="two")]) == [True, False]
        assert len(gallery) == 1
        assert gallery.search(POOL[2])[0].item == entry("a", text="two").item

    def test_what_is_deleted_is_gone(self, gallery: WritableGallery) -> None:
        gallery.put([entry("a", 1, labels={"x": "1"}, image=b"png"), entry("b", 2)])
        assert gallery.delete(["a", "none", "a"]) == [True, False, False]
        assert (gallery.get("a"), gallery.image("a"), gallery.vector("a"), len(gallery)) == (None, None, None, 1)
        assert ids(gallery) == ["b"]
        assert gallery.put([entry("a")]) == [True]
        assert sorted(ids(gallery)) == ["a", "b"]

    def test_pages_go_by_code_points(self, gallery: WritableGallery) -> None:
        every = ["😀", "\uffff", "é", "z", "a", "Z", "aa", "a.b", "10", "9", "%", "_"]
        gallery.put([entry(item_id) for item_id in every])
        assert [item.id for item in gallery.page(limit=99)] == sorted(every)
        assert [item.id for item in gallery.page(limit=2, after="a")] == ["a.b", "aa"]
        assert [item.id for item in gallery.page(limit=2, after="ab")] == ["z", "é"]
        assert [item.id for item in gallery.page(limit=9, after="😀")] == []
        assert ids(gallery) == sorted(every)  # equal scores, too

    @pytest.mark.parametrize(
        "bad",
        [
            entry(""),
            entry("x" * 10_000),
            entry("nul\0"),
            entry("a", text="half \ud800"),
            entry("a", text="nul \0"),
            entry("a", metadata={"x": "\0"}),
            entry("a", metadata={"\ud800": 1}),
            entry("a", metadata={"x": float("nan")}),
            entry("a", metadata={"x": [2**70]}),
            entry("a", metadata={"x": object()}),
            entry("a", labels={"x": 1}),  # type: ignore[dict-item]
            entry("a", targets=("text",)),
            entry("a", targets=("fused", "sound")),
            entry("a", pool=np.zeros_like(POOL)),
            entry("a", pool=np.full_like(POOL, np.inf)),
            entry("a", pool=POOL_OTHER),
        ],
    )
    def test_a_bad_entry_is_refused_and_nothing_of_its_batch_is_written(
        self, gallery: WritableGallery, bad: Entry
    ) -> None:
        with pytest.raises(ValueError, match=r"id|item"):
            gallery.put([entry("good"), bad])
        assert len(gallery) == 0
        assert gallery.put([entry("good")]) == [True]

    def test_what_was_answered_is_there_when_it_is_opened_again(self, reopen: Callable[[], Store]) -> None:
        store = reopen()
        gallery = store.open("shop", NET, model="model")
        gallery.put([entry(str(number), number, text=f"text {number}") for number in range(9)])
        gallery.delete(["4"])
        gallery.put([entry("5", 0, labels={"x": "y"})])
        before = gallery.search(POOL[2], ANYTHING)
        store.close()
        store = reopen()
        assert store.models() == {"shop": "model"}
        again = store.open("shop", NET, model="another")
        assert again.search(POOL[2], ANYTHING) == before
        assert store.models() == {"shop": "model"}
        again.put([entry("4", 11)])
        assert again.search(POOL[11])[0].item.id == "4"
        store.close()

    # Search.

    def test_a_search_that_cannot_be_understood_names_its_fault(self, gallery: WritableGallery) -> None:
        gallery.put([entry("a")])
        with pytest.raises(QueryError, match="fused, image, text"):
            gallery.search(POOL[0], Query(target="audio"))
        with pytest.raises(QueryError, match="audio"):
            gallery.vector("a", "audio")
        for bad in (POOL_OTHER[0], np.zeros(8, np.float32), np.full(8, np.nan, np.float32)):
            with pytest.raises(QueryError, match="vector"):
                gallery.search(bad)

    def test_a_group_is_shown_once_however_large_it_is(self, gallery: WritableGallery) -> None:
        # Nearest come thirty of one group, and only then the others.
        gallery.put([entry(f"a{number:02}", 0, labels={"kind": "one"}) for number in range(30)])
        gallery.put([entry("b", 1, labels={"kind": "two"}), entry("c", 2), entry("d", 2)])
        query = Query(top_k=4, group_by=Field("labels", "kind"))
        wanted = DictGallery()
        wanted.put([*(entry(f"a{number:02}", 0, labels={"kind": "one"}) for number in range(30))])
        wanted.put([entry("b", 1, labels={"kind": "two"}), entry("c", 2), entry("d", 2)])
        found = gallery.search(POOL[0], query)
        assert agree(found, wanted.search(POOL[0], query))
        assert sorted(match.item.id for match in found) == ["a00", "b", "c", "d"]

    def test_pages_of_a_search_stay_in_order_while_items_are_written(self, gallery: WritableGallery) -> None:
        gallery.put([entry(f"{number:03}", number % 12) for number in range(60)])
        whole, seen, step = ids(gallery), [], 0
        page = gallery.search(POOL[0], Query(top_k=5))
        while page:
            seen += [match.item.id for match in page]
            gallery.put([entry(f"new{step}", 0)])  # nearer than most of what is still to come
            step += 1
            page = gallery.search(POOL[0], Query(top_k=5, after=(page[-1].score, page[-1].item.id)))
        assert [item_id for item_id in seen if not item_id.startswith("new")] == whole
        assert len(set(seen)) == len(seen)

    @patient
    @given(items=st.lists(st.tuples(data.LABELS, data.METADATA), max_size=6), where=data.FILTERS)
    def test_a_filter_lets_through_what_its_predicate_does(
        self, store: Store, items: list[tuple[dict, dict]], where: Filter
    ) -> None:
        name = next(names)
        gallery = store.open(name, NET, model="shop")
        entries = [entry(str(n), labels=labels, metadata=rest) for n, (labels, rest) in enumerate(items)]
        gallery.put(entries)
        holds = predicate(where)
        assert ids(gallery, replace(ANYTHING, where=where)) == [one.item.id for one in entries if holds(one.item)]
        store.drop(name)

    def test_a_filter_as_large_as_may_be_is_answered(self, gallery: WritableGallery) -> None:
        gallery.put([entry("a", metadata={"x": 77_003}), entry("b", metadata={"x": "77003"})])
        parts = [
            {"metadata.x": {"in": [*range(start, start + 1000), *map(str, range(start, start + 0))]}}
            for start in range(0, 120_000, 1000)
        ]
        assert ids(gallery, Query(where=parse_filter({"or": parts}))) == ["a"]
        assert ids(gallery, Query(where=parse_filter({"not": {"or": parts}}))) == ["b"]

    @patient
    @given(
        steps=st.lists(
            st.one_of(
                st.tuples(
                    st.just("put"),
                    st.lists(
                        st.builds(
                            entry,
                            st.sampled_from("abcdefgh"),
                            st.integers(0, 11),
                            labels=st.dictionaries(st.sampled_from("xy"), st.sampled_from(["1", "2"])),
                            targets=st.sampled_from([("fused",), ("fused", "text"), ("fused", "image", "text")]),
                            image=st.none() | st.binary(max_size=3),
                            audio=st.none() | st.binary(max_size=3),
                            sensors=st.none() | st.binary(max_size=3),
                        ),
                        max_size=4,
                    ),
                ),
                st.tuples(st.just("delete"), st.lists(st.sampled_from("abcdefgh"), max_size=3)),
                st.tuples(
                    st.just("search"),
                    st.tuples(
                        st.integers(0, 11),
                        st.builds(
                            Query,
                            target=st.sampled_from(["fused", "image", "text"]),
                            top_k=st.integers(1, 5),
                            where=st.none() | st.just(parse_filter({"labels.x": "1"})),
                            min_score=st.sampled_from([-1.0, 0.0, 0.5]),
                            group_by=st.none() | st.just(Field("labels", "y")),
                            after=st.none() | st.tuples(st.sampled_from([1.0, 0.1]), st.sampled_from("abcdefgh")),
                            exclude=st.none() | st.sampled_from("abcdefgh"),
                        ),
                    ),
                ),
                st.tuples(st.just("reopen"), st.none()),
            ),
            max_size=12,
        )
    )
    def test_a_gallery_answers_as_a_dict_does(self, store: Store, steps: list[tuple]) -> None:
        name = next(names)
        gallery, model = store.open(name, NET, model="shop"), DictGallery()
        for kind, value in steps:
            match kind:
                case "put":
                    assert gallery.put(value) == model.put(value)
                case "delete":
                    assert gallery.delete(value) == model.delete(value)
                case "search":
                    number, query = value
                    assert agree(gallery.search(POOL[number], query), model.search(POOL[number], query))
                case "reopen":
                    gallery.close()
                    gallery = store.open(name, NET, model="shop")
            assert len(gallery) == len(model.entries)
            assert [item.id for item in gallery.page(limit=9)] == sorted(model.entries)
            for item_id, one in model.entries.items():
                assert gallery.get(item_id) == one.item
                assert gallery.image(item_id) == one.image
                assert gallery.audio(item_id) == one.audio
                assert gallery.sensors(item_id) == one.sensors
        gallery.close()
        store.drop(name)

    # Several embeddings.

    def test_an_item_put_through_one_embedding_is_pending_for_the_others(self, store: Store) -> None:
        one, other = store.open("shop", NET, model="shop"), store.open("shop", OTHER, model="shop")
        originals = {"image": b"png", "thumbnail": b"t", "audio": b"RIFF", "sensors": b"{}"}
        one.put([entry("a", text="red", **originals), entry("b", text="blue")])
        assert other.search(POOL_OTHER[0]) == []
        assert other.get("a") == one.get("a")
        assert len(other) == 2
        found = {
            pending.id: (pending.text, pending.image, pending.audio, pending.sensors)
            for pending in other.pending(9)
        }
        assert found == {"a": ("red", b"png", b"RIFF", b"{}"), "b": ("blue", None, None, None)}
        assert len(other.pending(1)) == 1
        assert list(one.pending(9)) == []

    def test_what_is_filled_is_found_and_no_longer_pending(self, store: Store) -> None:
        one, other = store.open("shop", NET, model="shop"), store.open("shop", OTHER, model="shop")
        one.put([entry("a", text="red"), entry("b", text="blue"), entry("c")])
        contents = {pending.id: pending.content for pending in other.pending(9)}
        vectors = {"a": {"fused": POOL_OTHER[1], "text": POOL_OTHER[2]}, "b": {}}
        assert other.fill(vectors, contents) == 2
        assert other.fill(vectors, contents) == 0  # nobody waits for them any more
        assert [match.item.id for match in other.search(POOL_OTHER[1])] == ["a"]
        assert [match.item.id for match in other.search(POOL_OTHER[1], Query(target="text"))] == ["a"]
        assert [pending.id for pending in other.pending(9)] == ["c"]
        assert len(one.search(POOL[0])) == 3

    def test_vectors_of_what_has_changed_since_are_dropped(self, store: Store) -> None:
        one, other = store.open("shop", NET, model="shop"), store.open("shop", OTHER, model="shop")
        one.put([entry("a", text="red"), entry("b", text="blue"), entry("c", text="grey")])
        contents = {pending.id: pending.content for pending in other.pending(9)}
        one.put([entry("a", text="green")])
        one.delete(["b"])
        vectors = {item_id: {"fused": POOL_OTHER[1]} for item_id in "abcd"}
        assert other.fill(vectors, {**contents, "d": 1}) == 1
        assert [match.item.id for match in other.search(POOL_OTHER[1])] == ["c"]
        assert [pending.id for pending in other.pending(9)] == ["a"]

    def test_bad_vectors_are_not_filled(self, store: Store) -> None:
        one, other = store.open("shop", NET, model="shop"), store.open("shop", OTHER, model="shop")
        one.put([entry("a", text="red")])
        contents = {pending.id: pending.content for pending in other.pending(9)}
        for bad in ({"fused": POOL[0]}, {"sound": POOL_OTHER[0]}, {"fused": np.zeros(3, np.float32)}):
            with pytest.raises(ValueError, match="a"):
                other.fill({"a": bad}, contents)
        assert len(other.pending(9)) == 1

    def test_new_labels_keep_the_other_embeddings_vectors_and_a_new_text_drops_them(self, store: Store) -> None:
        one, other = store.open("shop", NET, model="shop"), store.open("shop", OTHER, model="shop")
        one.put([entry("a", text="red", image=b"png")])
        contents = {pending.id: pending.content for pending in other.pending(9)}
        other.fill({"a": {"fused": POOL_OTHER[1]}}, contents)
        relabelled = entry("a", text="red", image=b"png", thumbnail=b"t", labels={"colour": "Red"})
        one.put([relabelled])
        assert [match.item for match in other.search(POOL_OTHER[1])] == [relabelled.item]
        for changed in (entry("a", text="green", image=b"png"), entry("a", text="green", image=b"gif")):
            one.put([changed])
            assert other.search(POOL_OTHER[1]) == []
            (pending,) = other.pending(9)
            assert (pending.text, pending.image) == (changed.item.text, changed.image)
            other.fill({"a": {"fused": POOL_OTHER[1]}}, {"a": pending.content})

    def test_an_embedding_keeps_its_dimensions(self, store: Store) -> None:
        store.open("shop", NET, model="shop")
        with pytest.raises(ValueError, match="dimensions"):
            store.open("shop", Embedding(id="net", dimensions=5, targets=("fused",)), model="shop")

    def test_an_embedding_that_is_forgotten_leaves_the_items(self, store: Store) -> None:
        one = store.open("shop", NET, model="shop")
        one.put([entry("a", text="red", targets=("fused", "text")), entry("b")])
        other = store.open("shop", OTHER, model="shop")
        other.put([entry("c", pool=POOL_OTHER)])
        one.close()
        assert store.forget("shop", "net") == 3
        assert store.forget("shop", "net") == 0
        assert store.forget("none", "net") == 0
        assert len(other) == 3
        assert [match.item.id for match in other.search(POOL_OTHER[0])] == ["c"]
        again = store.open("shop", NET, model="shop")
        assert sorted(pending.id for pending in again.pending(9)) == ["a", "b", "c"]

    # Several galleries.

    def test_galleries_keep_apart_and_can_be_dropped(self, store: Store) -> None:
        shop, archive = store.open("shop", NET, model="one"), store.open("archive", NET, model="two")
        shop.put([entry("a")])
        assert len(archive) == 0
        assert list(store.models().items()) == [("archive", "two"), ("shop", "one")]
        assert store.drop("shop")
        assert not store.drop("shop")
        assert store.models() == {"archive": "two"}
        assert len(store.open("shop", NET, model="three")) == 0

    @pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "é", "."])
    def test_a_name_is_letters_and_digits(self, store: Store, name: str) -> None:
        with pytest.raises(ValueError, match="name"):
            store.open(name, NET, model="shop")
        assert store.models() == {}

    def test_a_gallery_that_is_closed_says_so(self, store: Store, gallery: WritableGallery) -> None:
        gallery.put([entry("a")])
        store.close()
        with pytest.raises(GalleryError):
            gallery.put([entry("b")])
        with pytest.raises(GalleryError):
            gallery.search(POOL[0])

    # Seeds.

    def test_a_seed_is_merged_once(self, reopen: Callable[[], Store], tmp_path: Path) -> None:
        items = [Item(id="a", text="ant", labels={"legs": "6"}), Item(id="b", metadata={"x": [1]}, has_image=True)]
        first = seed(tmp_path, 1, items, [3, 4], {"b": b"jpeg"})
        for _ in range(2):
            store = reopen()
            gallery = store.open("shop", NET, model="shop", seed=first)
            assert list(gallery.page(limit=9)) == items
            assert (gallery.image("b"), gallery.thumbnail("b")) == (b"jpeg", b"jpeg")
            best = gallery.search(POOL[4])[0]
            assert best.item == items[1]
            assert best.score == pytest.approx(1.0, abs=1e-5)
            assert [match.item.id for match in gallery.search(POOL[3], Query(target="text", top_k=1))] == ["a"]
            assert list(gallery.pending(9)) == []
            store.close()

    def test_a_newer_seed_changes_what_seeds_brought_and_nothing_else(self, store: Store, tmp_path: Path) -> None:
        old = [Item(id=item_id, text=f"old {item_id}") for item_id in "abcdef"]
        gallery = store.open("shop", NET, model="shop", seed=seed(tmp_path, 1, old, [1] * 6, {}))
        gallery.put([entry("b", 9, text="mine"), entry("mine", 9), entry("gone", 9)])
        gallery.delete(["c", "gone", "d"])
        gallery.put([entry("d", 9, text="mine again")])
        gallery.close()
        new = [Item(id=item_id, text=f"new {item_id}") for item_id in ("a", "b", "c", "d", "gone", "mine", "new")]
        gallery = store.open("shop", NET, model="shop", seed=seed(tmp_path, 2, new, [2] * 7, {}))
        assert {item.id: item.text for item in gallery.page(limit=99)} == {
            "a": "new a",  # replaced
            "b": "mine",
            "d": "mine again",
            "mine": None,
            "new": "new new",  # added; e and f are taken away, c and gone stay deleted
        }
        assert sorted(match.item.id for match in gallery.search(POOL[2], Query(min_score=0.999))) == ["a", "new"]
        gallery.close()
        gallery = store.open("shop", NET, model="shop", seed=seed(tmp_path, 1, old, [1] * 6, {}))
        assert len(gallery) == 5  # an older one changes nothing

    def test_a_seed_of_another_embedding_keeps_vectors_of_what_did_not_change(
        self, store: Store, tmp_path: Path
    ) -> None:
        old = [Item(id="same", text="same"), Item(id="other", text="old")]
        one = store.open("shop", OTHER, model="shop")
        one.put([entry("mine", 1, text="mine", pool=POOL_OTHER)])
        two = store.open("shop", NET, model="shop", seed=seed(tmp_path, 1, old, [1, 2], {}))
        assert sorted(pending.id for pending in one.pending(9)) == ["other", "same"]
        assert [pending.id for pending in two.pending(9)] == ["mine"]
        contents = {pending.id: pending.content for pending in one.pending(9)}
        one.fill({item_id: {"fused": POOL_OTHER[1]} for item_id in contents}, contents)
        new = [Item(id="same", text="same", labels={"x": "y"}), Item(id="other", text="new")]
        again = store.open("shop", NET, model="shop", seed=seed(tmp_path, 2, new, [1, 2], {}))
        found = {match.item.id: match.item for match in one.search(POOL_OTHER[1])}
        assert sorted(found) == ["mine", "same"]
        assert found["same"] == new[0]
        assert len(again.search(POOL[1])) == 2

    # Threads.

    def test_writers_and_readers_at_once_see_whole_items(self, gallery: WritableGallery) -> None:
        """The text of an item names its vector, so that a search tells whether the two belong together."""
        gallery.put([entry(str(number), number % 12, text=str(number % 12)) for number in range(40)])
        stop = threading.Event()

        def write(worker: int) -> int:
            for turn in range(15):
                own = [str(number) for number in range(worker, 40, 4)]
                gallery.put(
                    [entry(item_id, (turn + worker) % 12, text=str((turn + worker) % 12)) for item_id in own]
                )
                gallery.delete(own[:1])
                assert gallery.get(own[0]) is None
                assert gallery.put([entry(own[0], turn % 12, text=str(turn % 12))]) == [True]
                assert gallery.get(own[0]) == entry(own[0], text=str(turn % 12)).item
            return worker

        def read(number: int) -> int:
            searches = 0
            anything = parse_filter({"metadata.none": None})
            while not stop.is_set():
                for where in (None, anything):
                    found = gallery.search(POOL[number], Query(top_k=50, where=where))
                    assert len({match.item.id for match in found}) == len(found)
                    assert 36 <= len(found) <= 40
                    for match in found:
                        own = (match.score > 0.9999) == (match.item.text == str(number))
                        assert own, (match, number)
                searches += 1
            return searches

        with ThreadPoolExecutor(7) as pool:
            reads = [pool.submit(read, number) for number in range(3)]
            writes = [pool.submit(write, worker) for worker in range(4)]
            try:
                assert [future.result(timeout=120) for future in writes] == [0, 1, 2, 3]
            finally:
                stop.set()
            assert all(future.result(timeout=60) for future in reads)
        assert len(gallery) == 40

    def test_vectors_that_are_filled_while_items_change_belong_to_their_items(self, store: Store) -> None:
        """Items are written through one embedding and filled through the other, by the number in their text."""
        one, other = store.open("shop", NET, model="shop"), store.open("shop", OTHER, model="shop")
        stop = threading.Event()

        def write(worker: int) -> None:
            for turn in range(25):
                number = (turn + worker) % 12
                own = [str(item) for item in range(worker, 30, 3)]
                one.put([entry(item_id, number, text=str(number)) for item_id in own[turn % 2 :]])

        def read(number: int) -> None:
            while not stop.is_set():
                for match in other.search(POOL_OTHER[number], Query(top_k=50)):
                    assert (match.score > 0.9999) == (match.item.text == str(number)), (match, number)

        with ThreadPoolExecutor(6) as pool:
            others = [pool.submit(read, 3), pool.submit(read, 4), pool.submit(lambda: keep_filling(other, stop))]
            writes = [pool.submit(write, worker) for worker in range(3)]
            try:
                for future in writes:
                    future.result(timeout=120)
            finally:
                stop.set()
            for future in others:
                future.result(timeout=60)
        while fill(other):
            pass
        assert len(other.search(POOL_OTHER[0], ANYTHING)) == 30
        assert len(one.search(POOL[0], ANYTHING)) == 30
