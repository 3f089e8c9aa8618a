"""Thirty words by unseen speakers, from some seven recordings each.

Under the pretrained speech embedding; the same, with what lies above it from the version of digits; and from
random weights, convolutions and a recurrent network. Five folds, with no speaker in two splits of one. Accuracy on
the test split of each fold; their mean, and the deviation of the folds. All have the same epochs and seed."""

import argparse
import statistics
from pathlib import Path
from typing import Any

from benchmarks.serving.requests import ROOT
from benchmarks.speech.loso import with_epochs
from benchmarks.speech.results import OUT, keep
from benchmarks.speech.trained import labels_heard, trained
from recipes import spoken_commands
from training.recipe import Recipe, read_recipe

FROM_NOTHING = {
    "preprocessing": {"audio": {"rate_hz": 8_000, "num_mels": 40}},
    "network": {
        "kind": "cnn_gru",
        "channels": [16, 32],
        "subsampling": 4,
        "hidden": 96,
        "layers": 2,
        "dropout": 0.3,
    },
}


def from_nothing(recipe: Recipe) -> Recipe:
    """The recipe with an encoder that comes with no weights; it suited digits best before there was another."""
    values = recipe.model_dump(mode="json")
    values["network"]["audio"] = FROM_NOTHING["network"]
    values["preprocessing"] = FROM_NOTHING["preprocessing"]
    return Recipe.model_validate(values)


def accuracy(recipe: Recipe, rows: list[dict[str, str]], folder: Path, cache: Path) -> float:
    """Train, and measure on the test split."""
    predictor = trained(recipe, rows, folder, cache)
    held = [row for row in rows if row["split"] == "test"]
    heard = labels_heard(
        predictor, recipe.data.columns.labels[0], [Path(row["audio"]).read_bytes() for row in held]
    )
    return sum(label == row["word"] for label, row in zip(heard, held, strict=True)) / len(held)


def summary(each: list[float]) -> dict[str, Any]:
    """Mean and deviation over the folds."""
    return {
        "mean": round(statistics.fmean(each), 4),
        "deviation": round(statistics.stdev(each), 4) if len(each) > 1 else None,
        "folds": [round(one, 4) for one in each],
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech commands", description=__doc__)
    parser.add_argument("--recordings", type=Path, required=True, help="of <word>/<speaker>_nohash_<index>.wav")
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/commands.toml")
    parser.add_argument("--start-from", type=Path, default=ROOT / "checkpoints/digits/2")
    parser.add_argument("--folds", default="0,1,2,3,4")
    parser.add_argument("--only", choices=("pretrained", "from_digits", "from_scratch"), help="one of them")
    parser.add_argument("--epochs", type=int, default=0, help="of stages.audio; the recipe's by default")
    parser.add_argument("--work", type=Path, default=Path("runs/speech/commands"), help="versions are kept")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    recipe = with_epochs(read_recipe(options.recipe), options.epochs)
    ways = {
        "pretrained": recipe,
        "from_digits": recipe.model_copy(update={"start_from": str(options.start_from)}),
        "from_scratch": from_nothing(recipe),
    }
    found: dict[str, Any] = {}
    for name, own in ways.items():
        if options.only not in (None, name):
            continue
        each = []
        for fold in map(int, options.folds.split(",")):
            rows = spoken_commands.rows(options.recordings, fold)
            each.append(accuracy(own, rows, options.work / f"{name}-{fold}", options.work / "cache"))
            print(name, fold, each[-1], flush=True)
        found[name] = summary(each)
    command = f"commands --recordings <recordings> --folds {options.folds}"
    command += f" --epochs {options.epochs}" if options.epochs else ""
    command += f" --only {options.only}" if options.only else ""
    keep("commands", command, found, out=options.out)
