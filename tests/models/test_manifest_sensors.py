"""Readings in a manifest: columns of channels, or one of objects; CSV, JSON Lines and Parquet."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from models.columns import Columns
from models.errors import ConfigError, ManifestError
from models.manifest import Record, read_manifest

Shown = dict[str, list[float | None]] | None


def shown(record: Record) -> Shown:
    if record.sensors is None:
        return None
    return {name: [None if math.isnan(x) else x for x in part] for name, part in record.sensors.items()}


def read(path: Path, sensors: object, **columns: Any) -> list[Shown]:
    found = read_manifest(path, Columns.parse({"sensors": sensors, **columns}, "recipe"))
    return [shown(record) for record in found]


def csv(folder: Path, *lines: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_columns_of_numbers_or_lists_are_channels(tmp_path: Path) -> None:
    path = csv(tmp_path, "v,w,t", "1.5,-2,a", "3,,b", '"[1, null, 3]","[4, 5]",c', ",,d")
    assert read(path, {"speed": "v", "wheel": "w"}, text="t") == [
        {"speed": [1.5], "wheel": [-2.0]},
        {"speed": [3.0]},
        {"speed": [1.0, None, 3.0], "wheel": [4.0, 5.0]},
        None,
    ]
    assert read(path, ["v", "w"], text="t")[0] == {"v": [1.5], "w": [-2.0]}


def test_a_column_of_objects_holds_all_channels(tmp_path: Path) -> None:
    path = csv(tmp_path, "s,t", '"{""speed"": 1, ""turn"": [1, NaN, null]}",a', ",b", "{},c")
    assert read(path, "s", text="t") == [{"speed": [1.0], "turn": [1.0, None, None]}, None, None]
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"s": {"speed": [1, 2], "turn": null}}\n{"s": {"speed": 3}}\n')
    assert read(lines, "s") == [{"speed": [1.0, 2.0]}, {"speed": [3.0]}]


def test_parquet_s_lists_and_structs_are_read(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    table = {"v": [[1.0, None, float("nan")], [2.0]], "s": [{"speed": 1.0, "turn": [1.0]}, {"speed": 2.0}]}
    parquet.write_table(arrow.table(table), path)
    assert read(path, {"v": "v"}) == [{"v": [1.0, None, None]}, {"v": [2.0]}]
    assert read(path, "s") == [{"speed": [1.0], "turn": [1.0]}, {"speed": [2.0]}]


def test_markers_of_gaps_are_gaps(tmp_path: Path) -> None:
    path = csv(tmp_path, "v,w", "1,-", '"[1, ""-""]",2')
    assert read(path, ["v", "w"], missing=["", "-"]) == [{"v": [1.0]}, {"v": [1.0, None], "w": [2.0]}]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("fast", "'v' has 'fast', neither a number nor a list"),
        ('"[1, 2"', "'v' has '[1, 2', neither a number nor a list"),
        ("inf", "'v' has inf, which is no finite number"),
        ('"[1, true]"', "'v' has True, which is no finite number"),
    ],
)
def test_every_faulty_cell_is_told_with_its_row(tmp_path: Path, cell: str, says: str) -> None:
    path = csv(tmp_path, "v", "1", cell, cell)
    with pytest.raises(ManifestError) as caught:
        read(path, ["v"])
    assert len(caught.value.faults) == 2
    assert caught.value.faults[0].startswith("rows.csv:3: sensors: ")
    assert says in caught.value.faults[0] or says in caught.value.faults[1]


def test_a_row_without_anything_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ({"s": {"a": 1}}, {"s": {"a": None}})))
    with pytest.raises(ManifestError, match=r"rows.jsonl:2: no readings\. Fill"):
        read(path, "s")


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = csv(tmp_path, "v", "1")
    with pytest.raises(ManifestError, match="no column 'w'"):
        read(path, {"speed": "v", "wheel": "w"})
    with pytest.raises(ConfigError, match="sensors"):
        Columns.parse({"sensors": 3}, "recipe")
