"""A training process is killed for real, and the run goes on as if nothing had been."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.checkpoint import WEIGHTS
from tests.tiny import ROOT, write_pairs

STAGE = "epochs = 2\nbatch_size = 4\nlearning_rate = 1e-3\n"
RECIPE = f"""
name = "tiny"
pretrained = "none"
[data.columns]
image = "image"
text = "name"
labels = ["shape", "colour"]
split = "split"
[preprocessing.image]
side_px = 32
[preprocessing.text]
max_tokens = 8
[network]
width = 16
[network.image]
backbone = "test_efficientnet"
colour_bins = 3
hidden = 16
frozen_blocks = 1
[network.text]
vocab_size = 64
embedding = 8
hidden = 8
[stages.image]
{STAGE}backbone_learning_rate = 1e-4
[stages.fusion]
{STAGE}
[stages.joint]
{STAGE}
"""
# Saves after every step, so that a kill may also fall into the writing of the state.
COMMAND = """
import sys
from training.optimisation import loop
from training.__main__ import main
loop.SAVE_INTERVAL_S = 0.0
sys.exit(main(sys.argv[1:]))
"""


def start(folder: Path, out: str, *options: str, processes: int) -> subprocess.Popen[bytes]:
    (folder / "saving_always.py").write_text(COMMAND)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return subprocess.Popen(
        [
            sys.executable, *(torchrun if processes > 1 else []), "saving_always.py", "train", "recipe.toml",
            "--data", "pairs.csv", "--out", out, "--work", f"work-{out}", *options,
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a group of their own, to be killed together
    )  # fmt: skip


def finish(process: subprocess.Popen[bytes]) -> Path:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return Path(out.decode().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "attempts"), [(1, 2), (2, 1)])
def test_a_run_killed_at_random_moments_and_resumed_equals_an_unbroken_one(
    tmp_path: Path, processes: int, attempts: int
) -> None:
    write_pairs(tmp_path, 72)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    whole = tmp_path / finish(start(tmp_path, "whole", processes=processes))
    state = tmp_path / "work-killed" / "tiny.state.safetensors"
    kills = 0
    for _ in range(attempts):
        process = start(tmp_path, "killed", *(["--resume"] if kills else []), processes=processes)
        before = state.stat().st_mtime_ns if state.exists() else 0
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 2))  # of some 5 seconds of steps
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += state.exists()
        process.communicate()
    assert kills, "the run ended before it could be killed"
    resumed = tmp_path / finish(start(tmp_path, "killed", "--resume", processes=processes))
    assert (resumed / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    history, expected = (json.loads((path / "metrics.json").read_text())["history"] for path in (resumed, whole))
    for entry in (*history, *expected):
        del entry["seconds"]
    assert history == expected
