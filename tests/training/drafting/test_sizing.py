from typing import Any

import pytest

from training.drafting.sizing import BUDGET_SECONDS, Facts, choose_sizes, estimate_seconds


def facts(rows: int, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "train": rows * 8 // 10,
        "val": rows // 10,
        "test": rows // 10,
        "images": rows,
        "has_text": True,
        "has_labels": True,
    }
    return Facts(**{**values, **changes})


@pytest.mark.parametrize("rows", [20, 300, 3_000, 10_000, 40_000])
@pytest.mark.parametrize("has_labels", [True, False])
def test_up_to_forty_thousand_pairs_keep_to_the_budget(rows: int, has_labels: bool) -> None:
    data = facts(rows, has_labels=has_labels)
    assert estimate_seconds(data, choose_sizes(data)) <= BUDGET_SECONDS


def test_more_rows_thaw_more_blocks_until_time_runs_short() -> None:
    assert [choose_sizes(facts(rows)).frozen_blocks for rows in (300, 3_000, 9_000, 50_000)] == [7, 5, 4, 7]


def test_small_images_are_not_blown_up() -> None:
    assert [choose_sizes(facts(300, image_sides=[side] * 9)).side_px for side in (64, 150, 600)] == [128, 160, 224]


def test_the_estimate_adds_up() -> None:
    data = facts(10_000, has_text=False, may_mirror=False)
    sizes = choose_sizes(data)
    epochs = {name: stage.epochs for name, stage in sizes.stages.items()}
    assert epochs == {"image": 6, "fusion": 10, "joint": 2}
    # Caching 10,000 x 29 ms; 8 epochs of 8,333 rows x 24 ms; 12 of 0.3 ms; vectors 8 ms; report 50 ms; gallery.
    expected = 290 + 8 * 8_333 * 0.024 + 12 * 8_333 * 0.0003 + 80 + 2_000 * 0.05 + 3_000 * 0.0375 + 20
    assert estimate_seconds(data, sizes) == pytest.approx(expected, rel=0.01)


def test_without_labels_all_is_learnt_together() -> None:
    assert list(choose_sizes(facts(5_000, has_labels=False)).stages) == ["joint"]


def test_frozen_blocks_have_no_rate() -> None:
    assert all(stage.backbone_learning_rate == 0 for stage in choose_sizes(facts(300)).stages.values())


def test_text_alone_has_no_image_stage() -> None:
    assert list(choose_sizes(facts(5_000, images=0)).stages) == ["text", "joint"]
