"""Time to a validation accuracy, beside a plain script: `python -m benchmarks.training_time --data products.csv`.

Both train on the same rows of the fashion data, at the same side, from the same pretrained weights and subwords.
The plain script (benchmarks/plain_script.py) sets the target: the mean accuracy over the heads, image and title
given, that it has in its best epoch. Its manifest and subwords are read before its clock starts; Intermodal's has
everything, the check of all images and the caches too.

The machine's speed drifts, so the two take turns: one runs for a few seconds while the other is stopped
(SIGSTOP), and only the time that a contender runs counts as its own.
"""

import argparse
import csv
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import torch

from benchmarks import plain_script
from models.preprocess import Preprocessors
from training import run
from training.data.pairs import label_numbers, label_vocabularies, load_pairs, prepare_texts
from training.data.tokenizer import train_tokenizer
from training.optimisation.state import RunState
from training.progress import SilentProgress
from training.recipe import Recipe
from training.setup import set_up
from training.stages import run_stages

ROOT = Path(__file__).parent.parent
FASHION = ROOT / "recipes/fashion.toml"
# A short recipe; all else is as recipes/fashion.toml has it, which is for many more rows.
STAGES: dict[str, dict[str, Any]] = {
    "image": {"epochs": 2, "ema_decay": 0.98},
    "text": {"epochs": 6, "batch_size": 32, "ema_decay": 0.98},
    "fusion": {"epochs": 6, "batch_size": 64, "ema_decay": 0.98},
}
FROZEN_BLOCKS = 5
SLICE_S = 10.0


def recipe_of(side_px: int) -> Recipe:
    """recipes/fashion.toml at another side, with fewer epochs and no joint stage."""
    values: dict[str, Any] = tomllib.loads(FASHION.read_text())
    values["preprocessing"]["image"]["side_px"] = side_px
    values["data"]["columns"]["split"] = "split"
    values["network"]["image"]["frozen_blocks"] = FROZEN_BLOCKS
    values["augmentation"]["mirror"] = False  # half the cache
    values["stages"] = {name: {**values["stages"][name], **own} for name, own in STAGES.items()}
    return Recipe.parse(values, "fashion")


def write_subset(data: Path, count: int, folder: Path, side_px: int) -> None:
    """A manifest of `count` rows with their splits, in a folder that reaches the images of the whole one."""
    with data.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = random.Random(0).sample(rows, min(count, len(rows)))
    top = {Path(row["image"]).parts[0] for row in rows}
    for name in top:
        (folder / name).symlink_to(data.parent.resolve() / name)
    path = folder / "pairs.csv"
    write_csv(path, rows)
    recipe = recipe_of(side_px)
    columns = recipe.data.columns.model_copy(update={"split": None})
    pairs = load_pairs(path, columns, seed=0, val=recipe.data.val_fraction, test=recipe.data.test_fraction)
    write_csv(path, [{**row, "split": split} for row, split in zip(rows, pairs.splits, strict=True)])


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def tell(event: str, value: float = 0.0) -> None:
    """A line for the process that holds the clock."""
    print(json.dumps({"event": event, "value": value}), flush=True)


def intermodal(folder: Path, side_px: int) -> None:
    """Train as `python -m training train` does, up to the last stage."""
    tell("start")
    recipe, progress = recipe_of(side_px), SilentProgress()
    pairs = run.check(recipe, folder / "pairs.csv", progress)
    tell("checked")
    plan = set_up(recipe, pairs, folder / "work", progress).plan
    tell("caches filled")
    found: list[float] = []

    def scalars(name: str, value: float, _step: int) -> None:
        if name.startswith("fusion/val/image+text/"):
            found.append(value)
            if len(found) == len(recipe.data.columns.heads):
                tell("accuracy", sum(found) / len(found))
                found.clear()
        elif name.endswith(f"val/{recipe.data.columns.labels[0]}"):
            tell(name, value)

    run_stages(plan, state=RunState(""), path=folder / "work" / "state.safetensors", scalars=scalars)


def plain(folder: Path, side_px: int, epochs: int) -> None:
    """Train the plain script's model; the manifest and the subwords are given to it."""
    recipe = recipe_of(side_px)
    pairs = load_pairs(folder / "pairs.csv", recipe.data.columns, seed=0, val=0.0, test=0.0)
    texts = (text for row in pairs.rows("train") for text in pairs.records[row].texts)
    tokenizer = train_tokenizer(texts, tomllib.loads(FASHION.read_text())["network"]["text"]["vocab_size"])
    prepared = prepare_texts(pairs, Preprocessors(recipe.preprocessing, tokenizer))
    ids = [torch.from_numpy(captions[0]) for captions in prepared]
    vocabularies = label_vocabularies(pairs, recipe.data.columns.labels)
    labels_NH = label_numbers(pairs, vocabularies)
    sets = [
        plain_script.Photos(pairs, pairs.rows(split).tolist(), ids, labels_NH, side_px)
        for split in ("train", "val")
    ]
    tell("start")
    num_classes = [len(labels) for labels in vocabularies.values()]
    plain_script.train(
        *sets, tokenizer.get_vocab_size(), num_classes, epochs, lambda value: tell("accuracy", value)
    )


class Contender:
    """A process that is stopped and let go on in turns, with what it told and when, by its own time."""

    def __init__(self, name: str, arguments: list[str]) -> None:
        self.name, self.events = name, list[dict[str, Any]]()
        self._spent, self._since, self._began = 0.0, perf_counter(), 0.0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training_time", "--as", name, *arguments],
            stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            seconds = self._spent + perf_counter() - self._since
            if event["event"] == "start":
                self._began = seconds
            self.events.append({**event, "seconds": round(seconds - self._began, 1)})
            print(self.name, self.events[-1], flush=True)

    def pause(self) -> None:
        """Stop all its processes, the loader's workers among them."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        self._spent += perf_counter() - self._since

    def run(self, seconds: float) -> bool:
        """Let it run for a while; whether it is still at work then."""
        self._since = perf_counter()
        os.killpg(self.process.pid, signal.SIGCONT)
        while self.process.poll() is None and perf_counter() - self._since < seconds:
            sleep(0.05)
        if self.process.poll() is None:
            self.pause()
            return True
        self._reader.join()
        return False

    def curve(self) -> list[tuple[float, float]]:
        """Seconds and accuracy of each epoch that has one."""
        return [(event["seconds"], event["value"]) for event in self.events if event["event"] == "accuracy"]


def race(contenders: list[Contender]) -> None:
    """Take turns until all are done."""
    for contender in contenders:
        contender.pause()
    waiting = contenders
    try:
        while waiting:
            waiting = [contender for contender in waiting if contender.run(SLICE_S)]
    finally:
        for contender in waiting:
            os.killpg(contender.process.pid, signal.SIGKILL)
    for contender in contenders:
        if contender.process.returncode:
            raise SystemExit(f"{contender.name} failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the fashion data's products.csv")
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--side-px", type=int, default=112)
    parser.add_argument("--epochs", type=int, default=4, help="of the plain script")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/training_time.json")
    parser.add_argument("--write-subset", type=Path, help="only write the rows here, for another trainer")
    parser.add_argument("--as", dest="part", help=argparse.SUPPRESS)  # what a process of its own does
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "intermodal":
        intermodal(options.folder, options.side_px)
        return
    if options.part == "plain":
        plain(options.folder, options.side_px, options.epochs)
        return
    if options.data is None:
        parser.error("--data is needed")
    if options.write_subset is not None:
        options.write_subset.mkdir(parents=True)
        write_subset(options.data, options.rows, options.write_subset, options.side_px)
        return
    with tempfile.TemporaryDirectory() as name:
        write_subset(options.data, options.rows, Path(name), options.side_px)
        rest = ["--folder", name, "--side-px", str(options.side_px), "--epochs", str(options.epochs)]
        rivals = [Contender(part, rest) for part in ("plain", "intermodal")]
        race(rivals)
    results = summary(*rivals)
    found = {
        "command": "python -m benchmarks.training_time --data products.csv "
        f"--rows {options.rows} --side-px {options.side_px} --epochs {options.epochs}",
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s)",
        "torch": torch.__version__.split("+")[0],
        "stages": STAGES,
        "frozen_blocks": FROZEN_BLOCKS,
        **results,
    }
    print(json.dumps(results))
    options.out.write_text(json.dumps(found, indent=1) + "\n")


def summary(plain_script: Contender, intermodal: Contender) -> dict[str, Any]:
    """When each reached the plain script's best figure, and their ratio; None where Intermodal never did."""
    target = max(value for _, value in plain_script.curve())
    theirs = next(seconds for seconds, value in plain_script.curve() if value >= target)
    ours = next((seconds for seconds, value in intermodal.curve() if value >= target), None)
    return {
        "target_accuracy": round(target, 4),
        "plain_seconds": theirs,
        "intermodal_seconds": ours,
        "ratio": None if ours is None else round(ours / theirs, 3),
        "events": {"plain": plain_script.events, "intermodal": intermodal.events},
    }


if __name__ == "__main__":
    main()
