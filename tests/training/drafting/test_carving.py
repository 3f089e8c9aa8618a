from collections.abc import Sequence
from typing import Any

from training.drafting.carving import Carve, find_carve


def carve(rows: Sequence[dict[str, Any]], **options: Any) -> Carve:
    given: dict[str, Any] = {
        "identity": None,
        "split": None,
        "group": (),
        "labels": (),
        "files": {},
    }
    return find_carve(list(enumerate(rows)), **{**given, **options})


def test_rows_of_a_group_stay_together() -> None:
    rows = [{"user": n % 40} for n in range(400)]
    found = carve(rows, group=["user"])
    assert found.group == ("user",)
    assert all(len({found.splits[n] for n in range(user, 400, 40)}) == 1 for user in range(40))


def test_few_groups_get_larger_shares_or_another_seed() -> None:
    found = carve([{"drive": n // 100} for n in range(400)], group=["drive"])
    assert found.group == ("drive",)
    assert min(found.count("val"), found.count("train")) >= 100


def test_a_column_that_chains_all_rows_is_left_out() -> None:
    rows = [{"user": n % 50, "text": "same" if n % 10 else str(n)} for n in range(500)]
    found = carve(rows, group=["user", "text"])
    assert found.group == ("user",)
    assert found.dropped == ("text",)


def test_splits_of_the_manifest_are_not_moved_by_groups() -> None:
    rows = [{"part": ("train", "train", "dev", "test")[n % 4], "user": n % 3} for n in range(100)]
    found = carve(rows, split="part", group=["user"])
    assert found.group == ()
    assert (found.count("train"), found.count("val"), found.count("test")) == (50, 25, 25)
    assert found.given == {"train", "val", "test"}


def test_each_label_column_keeps_two_labels_to_train_on() -> None:
    rows = [{"clip": n // 20, "kind": "a" if n < 20 else "b"} for n in range(200)]
    found = carve(rows, group=["clip"], labels=["kind"])
    assert {rows[n]["kind"] for n in range(200) if found.splits[n] == "train"} == {"a", "b"}


def test_equal_images_stay_together() -> None:
    rows = [{"image": f"{n}.png"} for n in range(200)]
    found = carve(rows, files={"image": {f"{n}.png": f"image={n % 100}" for n in range(200)}})
    assert list(found.splits[:100]) == list(found.splits[100:])
