"""Leave one speaker out: train on the others, and measure on the one that was never heard.

Of the speaker held out: how many single recordings get the right label, the word error rate of their transcripts,
and that of strings of three to eight of them, joined with pauses of 0.05 to 0.5 s and light noise. With --random,
a fifth of all recordings is held out instead, of voices that are known: it flatters."""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.serving.requests import ROOT
from benchmarks.speech.results import OUT, keep
from benchmarks.speech.strings import Recording, Spoken, join_strings, recordings_of
from benchmarks.speech.trained import labels_heard, texts_heard, trained, wavs
from models.predictor import Predictor
from recipes import spoken_digits
from training.measures.words import transcript_figures
from training.recipe import Recipe, Stage, read_recipe

RANDOM = "random"
TEST_SHARE, VAL_SHARE = 0.2, 0.1
Rows = list[dict[str, str]]


def at_random(rows: Rows, seed: int) -> Rows:
    """The same rows, a fifth of them for the test and a tenth for validation, whoever speaks."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    num_test, num_val = round(TEST_SHARE * len(rows)), round(VAL_SHARE * len(rows))
    splits = dict.fromkeys(order[:num_test], "test") | dict.fromkeys(order[num_test : num_test + num_val], "val")
    return [{**row, "split": splits.get(number, "train")} for number, row in enumerate(rows)]


def strings_of(held: Sequence[Recording], count: int, seed: int) -> list[Spoken]:
    """`count` strings, as many of each speaker, and no string of two."""
    speakers = sorted({one.speaker for one in held})
    return [
        string
        for speaker in speakers
        for string in join_strings(
            [one for one in held if one.speaker == speaker], count // len(speakers), f"{seed} {speaker}"
        )
    ]


def measure(
    predictor: Predictor, held: Sequence[Recording], strings: Sequence[Spoken], head: str | None
) -> dict[str, Any]:
    """Figures of what was held out."""
    singles = [one.path.read_bytes() for one in held]
    found: dict[str, Any] = {"recordings": len(held), "strings": len(strings)}
    if head is not None:
        heard = labels_heard(predictor, head, singles)
        found["accuracy"] = round(sum(a == one.label for a, one in zip(heard, held, strict=True)) / len(held), 4)
    if predictor.transcriber is not None:
        of_singles = transcript_figures([one.word for one in held], texts_heard(predictor, singles))
        of_strings = transcript_figures([one.text for one in strings], texts_heard(predictor, wavs(strings)))
        found |= {
            "wer_single": round(of_singles["wer"], 4),
            "wer_strings": round(of_strings["wer"], 4),
            "strings_exact": round(of_strings["exact"], 4),
            "confusions": of_strings["confusions"],
        }
    return found


def one(recipe: Recipe, rows: Rows, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure on the rows whose split is test."""
    start = perf_counter()
    predictor = trained(recipe, rows, folder, options.work / "cache")
    seconds = perf_counter() - start
    held = recordings_of([row for row in rows if row["split"] == "test"])
    labels = recipe.data.columns.labels
    strings = strings_of(held, options.strings, options.seed)
    return {
        **measure(predictor, held, strings, labels[0] if labels else None),
        "training_seconds": round(seconds),
    }


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and worst over speakers."""
    told = {}
    for figure, worst in (("accuracy", min), ("wer_single", max), ("wer_strings", max)):
        each = [one[figure] for one in found.values() if figure in one]
        if each:
            told[figure] = {"mean": round(sum(each) / len(each), 4), "worst": worst(each)}
    return told


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech loso", description=__doc__)
    parser.add_argument("--recordings", type=Path, required=True, help="of <digit>_<speaker>_<index>.wav")
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/digits.toml")
    parser.add_argument("--more", type=Path, help="a folder of Speech Commands, whose digits are learnt from too")
    parser.add_argument("--speakers", default="", help="names with commas between them; all by default")
    parser.add_argument("--random", action="store_true", help="a random split instead")
    parser.add_argument("--epochs", type=int, default=0, help="of the encoder's stage; the recipe's by default")
    parser.add_argument("--strings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the strings and the random split")
    parser.add_argument("--work", type=Path, default=Path("runs/speech/loso"), help="trained versions are kept")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    recipe = with_epochs(read_recipe(options.recipe), options.epochs)
    rows = spoken_digits.rows(options.recordings)
    more = [] if options.more is None else spoken_digits.more_rows(options.more)
    speakers = sorted({row["speaker"] for row in rows})
    if not speakers:
        parser.error(f"{options.recordings} has no recordings")
    asked = [name for name in options.speakers.split(",") if name] or speakers
    if set(asked) - set(speakers):
        parser.error(f"--speakers: there are only {', '.join(speakers)}")
    found: dict[str, dict[str, Any]] = {}
    for name in [RANDOM] if options.random else asked:
        split = at_random(rows, options.seed) if options.random else spoken_digits.rows(options.recordings, name)
        own = split + more
        found[name] = one(recipe, own, options.work / name, options)
        print(name, found[name], flush=True)
    command = f"loso --recordings <recordings> --recipe recipes/{options.recipe.name} --strings {options.strings}"
    command += " --more <commands>" if options.more is not None else ""
    command += f" --seed {options.seed}" + (f" --epochs {options.epochs}" if options.epochs else "")
    if options.random:
        keep("random_split", f"{command} --random", found[RANDOM], out=options.out)
    else:
        command += f" --speakers {options.speakers}" if options.speakers else ""
        keep("loso", command, {"summary": summary(found), "speakers": found}, out=options.out)


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with so many epochs of the stage that trains its encoder; as it is for 0."""
    name = "audio" if recipe.stages.audio is not None else "joint"
    stage: Stage | None = getattr(recipe.stages, name)
    if not epochs or stage is None:
        return recipe
    changed = {name: stage.model_copy(update={"epochs": epochs})}
    return recipe.model_copy(update={"stages": recipe.stages.model_copy(update=changed)})
