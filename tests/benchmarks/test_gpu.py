"""The script that measures a card, on the CPU: whether it runs and says what it found, not what that is."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gpu
from models.errors import EngineMemoryError
from models.predictor import Prediction, Predictor
from tests.tiny import SAMPLES, write_checkpoint

SMALL = ["--items", "6", "--seconds", "0", "--rounds", "1", "--batch-of-threads", "2", "--threads", "1", "2"]


@pytest.fixture(autouse=True)
def settings_of_torch_stay() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    folder = write_checkpoint(tmp_path / "tiny" / "1")
    return ["--checkpoint", str(folder), "--images", str(SAMPLES / "images"), *SMALL]


def prediction(scores: list[float], embedding: list[float]) -> Prediction:
    return Prediction(("text",), {"colour": np.array(scores, np.float32)}, np.array(embedding, np.float32))


def test_it_measures_parity_and_rates_and_writes_them_where_asked(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found" / "gpu.json"
    assert gpu.main([*arguments, "--batch-sizes", "1", "3", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["parity"]["eager"] == {
        "items": 6, "max_score_difference": 0.0, "same_top1": 1.0, "min_cosine": 1.0, "kept": True
    }  # fmt: skip
    assert [line["batch"] for line in found["batch_sizes"]] == [1, 3]
    assert [line["threads"] for line in found["threads"]] == [1, 2]
    assert found["hardware"]["card"] is found["batch_sizes"][0]["eager_peak_mb"] is None
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == found["parity"]["eager"]


def test_the_first_size_without_memory_is_told_and_the_last(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(predictor: Predictor, batch: object) -> None:
        if len(batch) > 2:  # type: ignore[arg-type]
            raise EngineMemoryError("no memory for a forward pass")

    monkeypatch.setattr(gpu, "forward", forward)
    out = tmp_path / "gpu.json"
    gpu.main([*arguments, "--batch-sizes", "2", "4", "8", "--out", str(out)])
    two, four = json.loads(out.read_text())["batch_sizes"]
    assert "failed" not in two
    assert (four["batch"], four["failed"]) == (4, "no memory for a forward pass")


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (prediction([0.59, 0.41], [1, 0]), True),
        (prediction([0.57, 0.43], [1, 0]), False),  # a score moved by 0.03
        (prediction([0.6, 0.4], [0.998, 0.063]), False),  # a cosine of 0.998
    ],
)
def test_parity_is_kept_within_all_three_bounds(found: Prediction, kept: bool) -> None:
    assert gpu.parity([found], [prediction([0.6, 0.4], [1, 0])])["kept"] is kept


def test_parity_is_not_kept_where_another_label_is_first() -> None:
    found = gpu.parity([prediction([0.495, 0.505], [1, 0])], [prediction([0.505, 0.495], [1, 0])])
    assert (found["same_top1"], found["max_score_difference"], found["kept"]) == (0.0, 0.01, False)
