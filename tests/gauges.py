"""Small recordings of sensors: speed tells the gear, and the gear's number is what a head gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.decode_sensors import decode_sensors
from models.sample import Readings
from training.recipe import Recipe


def readings(**channels: object) -> Readings:
    """As `decode_sensors` has them."""
    found = decode_sensors(channels)
    assert found is not None
    return found


def write_readings(folder: Path, count: int = 60) -> Path:
    """A manifest of one reading a channel and row; some are missing. Of ten rows, one is val and one test."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lines = ["v,turn,gear,pull,split"]
    for number in range(count):
        speed = rng.uniform(0, 10)
        split = {8: "val", 9: "test"}.get(number % 10, "train")
        turn = "" if number % 7 == 3 else f"{rng.uniform(-1, 1):.3f}"
        lines.append(f"{speed:.3f},{turn},{'high' if speed > 5 else 'low'},{3 * speed + 1:.3f},{split}")
    path = folder / "drive.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_windows(folder: Path, count: int = 60, steps: int = 6) -> Path:
    """The same as windows of one object a row, with gaps; the gear follows the newest speed."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    rows = []
    for number in range(count):
        speed = np.round(rng.uniform(0, 10, steps), 3).tolist()
        turn: list[float | None] = np.round(rng.uniform(-1, 1, steps), 3).tolist()
        turn[number % steps] = None
        split = {8: "val", 9: "test"}.get(number % 10, "train")
        gear = "high" if speed[-1] > 5 else "low"
        rows.append({"readings": {"v": speed, "turn": turn}, "gear": gear, "pull": 3 * speed[-1], "split": split})
    path = folder / "drive.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def gauge_recipe(**changes: Any) -> Recipe:
    """A recipe for sensors alone, of CSV's columns: a label, and a number with its uncertainty."""
    values: dict[str, Any] = {
        "name": "gauges",
        "data": {
            "columns": {
                "sensors": {"speed": "v", "turn": "turn"},
                "labels": ["gear"],
                "targets": ["pull"],
                "split": "split",
            }
        },
        "preprocessing": {"sensors": {"channels": {"speed": {"unit": "m/s"}}}},
        "network": {
            "width": 16,
            "sensors": {"kind": "mlp", "hidden": 16, "layers": 1, "dropout": 0.0},
            "targets": {"pull": {"uncertainty": True}},
            "embedding": {"dimensions": 8},
        },
        "stages": {
            "sensors": {"epochs": 40, "batch_size": 16, "learning_rate": 0.02, "ema_decay": 0.9},
            "fusion": {"epochs": 20, "batch_size": 16, "learning_rate": 0.02, "ema_decay": 0.9},
        },
        "gallery": {"max_items": 9},
    }
    return Recipe.model_validate({**values, **changes})


def window_recipe(**changes: Any) -> Recipe:
    """The same of `write_windows`, by convolutions over time."""
    recipe = gauge_recipe().model_dump()
    recipe["data"]["columns"]["sensors"] = "readings"
    recipe["preprocessing"]["sensors"] = {"steps": 4}
    recipe["network"]["sensors"] = {"kind": "tcn", "hidden": 16, "layers": 2, "dropout": 0.0}
    return Recipe.model_validate({**recipe, **changes})
