"""Steps of the joint stage beside a bare loop, in one run: `python -m benchmarks.training_speed`.

The bare loop is what no trainer can be faster than: the same network and loss, forward, backward and AdamW's step
(fused, as training has it), on batches that lie in memory, with nothing loaded, changed at random, clipped,
averaged or noted. Many short rounds alternate, so that a drift of the speed hits both. On samples/, at the
sizes of each recipe; the rows are repeated, for an epoch of 4 steps would be mostly its beginning.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from training import run
from training.encode import encode_all
from training.fused_stages import joint_job
from training.multitask import multitask_loss
from training.optimisation.epoch import steps
from training.optimisation.loop import prepare_weights
from training.optimisation.schedule import Schedule
from training.progress import SilentProgress
from training.recipe import Recipe
from training.setup import set_up

ROOT = Path(__file__).parent.parent
REPEATED = 50  # times that the samples' 150 training rows make an epoch
FROM_PIXELS = {"frozen_blocks": 0}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "fashion: upper blocks on cached maps": ("fashion", {}),
    "fashion: the whole network on pixels": ("fashion", FROM_PIXELS),
    "reference: a small network on pixels": ("reference", FROM_PIXELS),
}
"""By title, a recipe and what of its image encoder is changed."""


def recipe_on_samples(name: str, image: dict[str, Any], batch_size: int) -> Recipe:
    """A shipped recipe, with the samples' columns in place of its own."""
    values: dict[str, Any] = tomllib.loads((ROOT / f"recipes/{name}.toml").read_text())
    values["data"] = tomllib.loads((ROOT / "recipes/quick.toml").read_text())["data"]
    values["objective"] = {}
    # A window of a map is less work than the whole, which the bare loop does.
    values["augmentation"] = {**values["augmentation"], "map_crop": 0, "map_cutout": 0.3}
    values["network"]["image"] |= image
    joint = values["stages"]["joint"]
    values["stages"] = {"joint": {**joint, "batch_size": batch_size, "epochs": 1000}}
    return Recipe.parse(values, name)


def measure(recipe: Recipe, seconds: float, rounds: int) -> list[tuple[float, float]]:
    """Rows a second, bare and trained, for each round."""
    with tempfile.TemporaryDirectory() as work:
        pairs = run.check(recipe, ROOT / "samples/emoji.csv", SilentProgress())
        plan = set_up(recipe, pairs, Path(work), SilentProgress()).plan
        stage = recipe.stages.joint
        assert stage is not None
        job = joint_job("joint", stage, plan)
        weights, rows = prepare_weights(job, plan.bench), pairs.rows("train")
        size = min(stage.batch_size, len(rows))
        many = np.tile(rows, REPEATED)
        schedule = Schedule(0, "joint", stage.epochs, len(many) // size, size)

        def trained() -> Iterator[float]:
            for epoch in range(stage.epochs):
                yield from steps(job, weights, job.loss, many, schedule, epoch=epoch, first=0)

        parts = [rows[start : start + size] for start in range(0, len(rows) - size + 1, size)]
        held = [plan.source.plain(part) for part in parts]
        parameters = [parameter for group, _ in job.groups for parameter in group]
        optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)

        def bare() -> Iterator[float]:
            plan.bench.train()
            while True:
                for part, inputs in zip(parts, held, strict=True):
                    optimizer.zero_grad(set_to_none=True)
                    loss = multitask_loss(plan, part, encode_all(plan.bench.network, plan.source, part, inputs))
                    loss.backward()
                    optimizer.step()
                    yield 0.0

        rate(bare, size, seconds / 2)
        rate(trained, size, seconds / 2)
        return [(rate(bare, size, seconds), rate(trained, size, seconds)) for _ in range(rounds)]


def rate(work: Callable[[], Iterator[float]], size: int, seconds: float) -> float:
    """Rows a second."""
    count, start = 0, perf_counter()
    with suppress(StopIteration):
        stream = work()
        while perf_counter() - start < seconds:
            next(stream)
            count += size
    return count / (perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/training_speed.json")
    options = parser.parse_args()
    results = {}
    for title, (name, image) in RECIPES.items():
        pairs = measure(recipe_on_samples(name, image, options.batch_size), options.seconds, options.rounds)
        ratios = [trained / bare for bare, trained in pairs]
        results[title] = {
            "bare_rows_per_s": [round(bare, 1) for bare, _ in pairs],
            "trained_rows_per_s": [round(trained, 1) for _, trained in pairs],
            "ratio": [round(ratio, 3) for ratio in ratios],
            "median_ratio": round(statistics.median(ratios), 3),
        }
        print(title, results[title], flush=True)
    found = {
        "command": "python -m benchmarks.training_speed " + " ".join(sys.argv[1:]),
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s)",
        "batch_size": options.batch_size,
        "numpy": np.__version__,
        "torch": torch.__version__.split("+")[0],
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
