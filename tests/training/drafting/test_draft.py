import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.errors import ManifestError
from models.manifest import read_manifest
from tests.tiny import ROOT, Recorder, image_file, picture
from training import run
from training.drafting.draft import Draft, make_draft
from training.drafting.summary import summary
from training.drafting.toml import to_toml
from training.recipe import Recipe, read_recipe

KINDS = ("circle", "square", "star")
ROWS = 60


def pairs(folder: Path, width: int = 32, height: int = 32) -> list[dict[str, Any]]:
    """ROWS rows with an image, a text, a label, a user and a price."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for n in range(ROWS):
        (folder / "images" / f"frame{n:04}.png").write_bytes(image_file(picture(n, width, height)))
    return [
        {
            "id": f"r{n}",
            "image": f"images/frame{n:04}.png",
            "text": f"a fine {KINDS[n % 3]} number {n} on paper",
            "kind": KINDS[n % 3],
            "price": n / 7,
        }
        for n in range(ROWS)
    ]


def as_csv(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "pairs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_json_lines(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def as_parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    captions = [{**row, "text": [row["text"], row["text"].upper()]} for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(captions), folder / "pairs.parquet")
    return folder / "pairs.parquet"


def as_class_folders(folder: Path, rows: list[dict[str, Any]]) -> Path:
    for row in rows:
        (folder / "classes" / row["kind"]).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / row["image"], folder / "classes" / row["kind"])
    return folder / "classes"


def drop(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{name: cell for name, cell in row.items() if name not in columns} for row in rows]


def written(draft: Draft, folder: Path) -> tuple[Recipe, str]:
    """The recipe, read from the file that was written for it, and the file's text."""
    text = to_toml(draft, name="tiny", manifest=draft.path.name, command="train it")
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return read_recipe(folder / "recipe.toml"), text


@pytest.mark.parametrize("kind", [as_csv, as_json_lines, as_parquet, as_class_folders])
def test_every_kind_of_manifest_gives_a_recipe_that_check_passes(tmp_path: Path, kind: Any) -> None:
    path = kind(tmp_path, pairs(tmp_path))
    draft = make_draft(path)
    recipe, _ = written(draft, tmp_path)
    found = run.check(recipe, path, Recorder())
    assert found.sizes() == {split: draft.carve.count(split) for split in ("train", "val", "test")}
    assert recipe.data.columns.labels == (("label",) if kind is as_class_folders else ("kind",))
    assert recipe.data.columns.text == (() if kind is as_class_folders else ("text",))


def test_text_alone_and_pairs_without_labels_give_recipes_too(tmp_path: Path) -> None:
    rows = pairs(tmp_path)
    text, _ = written(make_draft(as_csv(tmp_path, drop(rows, "image"))), tmp_path)
    assert text.network.modalities == ("text",)
    unlabelled, _ = written(make_draft(as_csv(tmp_path, drop(rows, "kind"))), tmp_path)
    assert unlabelled.network.modalities == ("image", "text")
    assert unlabelled.data.columns.targets == ("price",)


def test_the_samples_are_drafted_as_the_shipped_recipe_has_them(tmp_path: Path) -> None:
    recipe, text = written(make_draft(ROOT / "samples" / "emoji.csv"), tmp_path)
    shipped = read_recipe(ROOT / "recipes" / "quick.toml")
    assert recipe.data.columns == shipped.data.columns
    assert '"category",' in text
    assert "# 6 different: Animals & Nature, Flags, Food & Drink, …" in text


def test_every_key_has_a_comment(tmp_path: Path) -> None:
    _, text = written(make_draft(as_csv(tmp_path, pairs(tmp_path))), tmp_path)
    assert [line for line in text.splitlines() if "=" in line and "#" not in line] == []


def test_odd_names_and_cells_are_quoted(tmp_path: Path) -> None:
    odd = 'mood "of\\the\n dog" # é'
    rows = [{**row, odd: ("a\n]", "b\x7f#")[n % 2]} for n, row in enumerate(pairs(tmp_path))]
    recipe, _ = written(make_draft(as_json_lines(tmp_path, rows)), tmp_path)
    assert recipe.data.columns.labels == ("kind", odd)


def test_numbers_to_tell_get_a_head_each(tmp_path: Path) -> None:
    recipe, _ = written(make_draft(as_csv(tmp_path, pairs(tmp_path))), tmp_path)
    assert recipe.data.columns.targets == ("price",)


def test_numbered_frames_are_warned_of_unless_a_column_groups_them(tmp_path: Path) -> None:
    rows = [{**row, "steering": n / 7 - 4} for n, row in enumerate(drop(pairs(tmp_path), "price", "id", "text"))]
    draft = make_draft(as_csv(tmp_path, rows))
    assert "Frames that follow one another" in draft.guess.warnings[0]
    recipe, text = written(draft, tmp_path)
    assert "# WARNING: The images are numbered" in text
    assert not recipe.augmentation.mirror
    drives = make_draft(as_csv(tmp_path, [{**row, "drive": n // 6} for n, row in enumerate(rows)]))
    assert drives.guess.warnings == []
    assert drives.carve.group == ("drive",)


@pytest.mark.parametrize(
    ("kind", "text", "mirrors"),
    [
        ("star", "a star", True),
        ("left turn", "a star", False),
        ("a", "a star", False),
        ("star", "on the left", False),
    ],
)
def test_pictures_are_mirrored_unless_left_and_right_mean_something(
    tmp_path: Path, kind: str, text: str, mirrors: bool
) -> None:
    rows = [
        {**row, "kind": (kind, "b")[n % 2], "text": f"{text} number {n} of them"}
        for n, row in enumerate(drop(pairs(tmp_path), "price"))
    ]
    assert written(make_draft(as_csv(tmp_path, rows)), tmp_path)[0].augmentation.mirror is mirrors


@pytest.mark.parametrize(
    ("shapes", "resize"),
    [([(32, 32), (32, 30)], "squash"), ([(64, 32), (64, 32)], "squash"), ([(64, 32), (32, 64)], "pad")],
)
def test_the_way_to_a_square_follows_the_shapes(
    tmp_path: Path, shapes: list[tuple[int, int]], resize: str
) -> None:
    rows = drop(pairs(tmp_path), "price")
    for n, row in enumerate(rows):
        (tmp_path / row["image"]).write_bytes(image_file(picture(n, *shapes[n % 2])))
    recipe, _ = written(make_draft(as_csv(tmp_path, rows)), tmp_path)
    assert recipe.preprocessing.image is not None
    assert recipe.preprocessing.image.resize == resize


def test_markers_that_programs_write_are_missing_and_na_is_a_value(tmp_path: Path) -> None:
    rows = pairs(tmp_path)
    for row in rows[::6]:
        row["kind"] = "nan"
    for row in rows[1::6]:
        row["kind"] = "NA"
    path = as_csv(tmp_path, rows)
    recipe, text = written(make_draft(path), tmp_path)
    assert recipe.data.columns.missing == ("", "nan")
    assert '"NA" occurs too' in text
    assert {label for record in read_manifest(path, recipe.data.columns) for label in record.labels.values()} == {
        "NA",
        *KINDS,
    }


def test_where_nothing_can_be_learnt_it_is_told_why(tmp_path: Path) -> None:
    rows = [{**row, "kind": "star"} for row in drop(pairs(tmp_path), "price", "text")]
    with pytest.raises(ManifestError, match=r"nothing here can be learnt.*kind: the same in every row: star"):
        make_draft(as_csv(tmp_path, rows))


def test_the_summary_is_short_and_names_every_role(tmp_path: Path) -> None:
    lines = summary(make_draft(as_csv(tmp_path, pairs(tmp_path))))
    assert len(lines) <= 12
    assert "60 rows, 5 columns" in lines[0]
    assert any(line.split()[:2] == ["labels", "kind"] for line in lines)
    assert lines[-1] == "Training takes about a minute on two idle cores."


def test_readings_are_drafted_and_the_recipe_trains(tmp_path: Path) -> None:
    rows = [{"gyro": [n % 7, None, 1.0, n / 9, 5, n % 2], "yaw": n / 9, "kind": "ab"[n % 2]} for n in range(60)]
    recipe, text = written(make_draft(as_json_lines(tmp_path, rows)), tmp_path)
    assert recipe.data.columns.sensors == {"gyro": "gyro", "yaw": "yaw"}
    assert recipe.preprocessing.sensors is not None
    assert recipe.preprocessing.sensors.steps == 6
    assert recipe.network.sensors is not None
    assert recipe.network.sensors.kind == "tcn"
    assert list(recipe.stages.alone) == ["sensors"]
    assert "what is measured, a channel each" in text
    run.check(recipe, tmp_path / "pairs.jsonl", Recorder())


def test_windows_and_objects_in_cells_of_csv_are_readings_too(tmp_path: Path) -> None:
    rows = [{"gyro": json.dumps([n % 7, None, 1.5]), "kind": "ab"[n % 2]} for n in range(60)]
    recipe, _ = written(make_draft(as_csv(tmp_path, rows)), tmp_path)
    assert recipe.data.columns.sensors == {"gyro": "gyro"}
    assert recipe.preprocessing.sensors is not None
    assert recipe.preprocessing.sensors.steps == 3
    run.check(recipe, tmp_path / "pairs.csv", Recorder())
    rows = [{"state": json.dumps({"v": [n, 1]}), "note": "[sic] a note", "steer": n / 30 - 1} for n in range(60)]
    recipe, _ = written(make_draft(as_csv(tmp_path, rows)), tmp_path)
    assert (recipe.data.columns.sensors, recipe.data.columns.targets) == ("state", ("steer",))
    run.check(recipe, tmp_path / "pairs.csv", Recorder())


def test_an_object_of_channels_is_one_column(tmp_path: Path) -> None:
    rows = [{"state": {"v": n / 7, "turn": n % 3}, "steering": n / 30 - 1} for n in range(60)]
    recipe, _ = written(make_draft(as_json_lines(tmp_path, rows)), tmp_path)
    assert recipe.data.columns.sensors == "state"
    assert recipe.data.columns.targets == ("steering",)
    assert recipe.network.sensors is not None
    assert recipe.network.sensors.kind == "mlp"
    run.check(recipe, tmp_path / "pairs.jsonl", Recorder())
