import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.errors import ConfigError
from models.nets.backbones import create_model
from tests.sounds import spoken, wav
from tests.tiny import ROOT, write_pairs
from tests.training.optimisation.test_kill import RECIPE
from tests.training.optimisation.two_ranks import gradients
from training.optimisation import distributed
from training.optimisation.job import Job
from training.optimisation.loop import fit
from training.optimisation.state import RunState
from training.recipe import Stage

# Nothing random but the order of the rows: two processes draw apart, and only their mean is that of one.
STILL = (
    RECIPE.replace("[network]\n", "[network]\nfusion_dropout = 0\n")
    .replace("hidden = 16\n", "hidden = 16\ndropout = 0\n")
    .replace("hidden = 8\n", "hidden = 8\ndropout = 0\n")
    .replace('pretrained = "none"', 'pretrained = "backbone.safetensors"')
    + "[augmentation]\nmirror = false\nsubword_dropout = 0\nmap_crop = 0\nmap_cutout = 0\nmap_noise = 0\n"
)

SAID_AND_WRITTEN = """
audio_speed = 0
audio_warp = 0
audio_noise = 0
audio_tone_db = 0
audio_gain_db = 0
audio_shift_ms = 0
audio_time_mask = 0
audio_band_mask = 0
audio_join = 0
[preprocessing.audio]
rate_hz = 8000
num_mels = 16
[network.audio]
channels = [4]
hidden = 8
layers = 1
dropout = 0
[network.transcript]
units = "words"
[network.caption]
hidden = 16
layers = 1
heads = 2
feedforward = 16
dropout = 0
min_count = 1
"""


def save_backbone(folder: Path) -> None:
    """Pretrained weights keep BatchNorm's statistics; those of a batch are each process's own."""
    save_file(create_model("test_efficientnet").state_dict(), folder / "backbone.safetensors")


def run(folder: Path, arguments: list[str], processes: int = 2) -> subprocess.CompletedProcess[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else []), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def train(folder: Path, name: str, processes: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["-m", "training", "train", "recipe.toml", "--data", "pairs.csv", "--out", "out", "--name", name]
    return run(folder, [*command, *options], processes)


def losses(done: subprocess.CompletedProcess[str], folder: Path) -> list[float]:
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / done.stdout.splitlines()[-1] / "metrics.json").read_text())
    return [entry["loss"] for entry in metrics["history"]]


@pytest.mark.slow
def test_two_processes_have_the_loss_and_the_gradient_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    done = run(tmp_path, ["-m", "tests.training.optimisation.two_ranks", str(tmp_path)])
    assert done.returncode == 0, done.stderr
    expected = gradients()
    assert {"left.weight", "right.weight", "head.weight", "voice.weight", "contrast.log_scale"} <= set(expected)
    for rank in range(2):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert int(found.pop("agreed")) == 5  # the first process's number
        assert set(found) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_run_of_two_processes_has_the_losses_of_one(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    save_backbone(tmp_path)
    (tmp_path / "recipe.toml").write_text(STILL)
    alone = losses(train(tmp_path, "alone", 1), tmp_path)
    done = train(tmp_path, "both", 2)
    assert losses(done, tmp_path) == pytest.approx(alone, abs=1e-4)
    assert len(alone) == 6  # three stages of two epochs
    # One process speaks and writes.
    assert len(re.findall("joint 2/2 ", done.stderr)) == 1
    assert [path.name for path in (tmp_path / "out" / "both").iterdir()] == ["1"]
    assert not list((tmp_path / "runs").glob("*.state.*"))


@pytest.mark.slow
def test_what_is_said_and_written_weighs_the_same_in_two_processes_as_in_one(tmp_path: Path) -> None:
    """Captions are of unequal length, and some rows have neither, so that shares differ in what they have."""
    lines = write_pairs(tmp_path).read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    for number, row in enumerate(rows):
        word = "ab"[number % 2]
        (tmp_path / f"{number}.wav").write_bytes(wav(spoken(" ".join([word] * (1 + number % 3)))))
        row["recording"] = f"{number}.wav" if number % 4 else ""
        row["said"] = " ".join([word] * (1 + number % 3)) if number % 3 else ""
        row["words"] = " ".join(["a", *[row["colour"]] * (number % 4), "thing"]) if number % 5 > 1 else ""
    (tmp_path / "pairs.csv").write_text(
        "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n"
    )
    save_backbone(tmp_path)
    recipe = STILL[: STILL.index("[stages.image]")] + STILL[STILL.index("[stages.joint]") :]
    recipe = recipe.replace(
        'text = "name"', 'text = "name"\naudio = "recording"\ntranscript = "said"\ncaption = "words"'
    )
    (tmp_path / "recipe.toml").write_text(recipe + SAID_AND_WRITTEN)
    alone = losses(train(tmp_path, "alone", 1), tmp_path)
    assert losses(train(tmp_path, "both", 2), tmp_path) == pytest.approx(alone, abs=1e-4)


def test_alone_everything_is_as_it_is() -> None:
    rows, values = np.arange(6), torch.rand(6, 2)
    generator = torch.Generator()
    assert (distributed.size(), distributed.rank(), distributed.is_first()) == (1, 0, True)
    assert distributed.share(rows).tolist() == rows.tolist()
    assert distributed.gather(values) is values
    assert distributed.mean(values, 3) is values
    assert distributed.own_generator(generator) is generator
    assert distributed.agree(3) == 3
    assert distributed.spread_index(torch.tensor([1, 0])).tolist() == [1, 0]
    with distributed.session():
        assert not torch.distributed.is_initialized()


def test_an_index_within_a_share_becomes_one_within_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert distributed.spread_index(torch.tensor([2, 0, 1])).tolist() == [2, 0, 1, 5, 3, 4]
    assert distributed.share(np.arange(6)).tolist() == [3, 4, 5]


def test_processes_draw_apart_and_stay_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    common = [torch.Generator().manual_seed(1) for _ in range(2)]
    own = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        own.append(torch.rand(2, generator=distributed.own_generator(common[rank])))
    assert not torch.equal(*own)
    assert torch.equal(*(torch.rand(2, generator=generator) for generator in common))


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 3)
    layer = torch.nn.Linear(1, 1)
    stage = Stage(epochs=1, batch_size=8, accumulate=2)
    job = Job("joint", stage, [], lambda rows, _: rows, lambda _: layer.weight.sum(), lambda _: {})
    with pytest.raises(ConfigError, match=r"stages\.joint\.batch_size: 8 rows .* Make it a multiple of 6\."):
        fit(job, layer, np.arange(9), seed=0, state=RunState("f"), path=tmp_path / "s", progress=None)
