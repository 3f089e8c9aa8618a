"""What the commands do with their arguments."""

import argparse
import json
import os
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from models.checkpoint import Checkpoint, CheckpointConfig, read_checkpoint
from models.config import FusionName
from models.errors import CheckpointError, ConfigError, ManifestError
from models.manifest import SPLITS
from models.predictor import load_predictor
from training import assemble, comparison, report, run
from training.data.pairs import load_pairs
from training.measured import Measured
from training.measures.evaluate import measure
from training.measures.facts import describe
from training.measures.gain import fusion_gain
from training.measures.passes import run_subsets
from training.progress import SilentProgress, TerminalProgress
from training.recipe import Recipe, read_recipe


def check(options: argparse.Namespace) -> int:
    """Read the manifest and every file. Prints what training would see."""
    recipe = read_recipe(options.recipe)
    with TerminalProgress() as progress:
        pairs = run.check(recipe, _manifest(recipe, options), progress)
    sizes = "  ".join(f"{split} {size:,}" for split, size in pairs.sizes().items())
    files = {"images": len(pairs.images), "recordings": len(pairs.recordings)}
    distinct = ", ".join(f"{count:,} distinct {noun}" for noun, count in files.items() if count) or "no files"
    print(f"{pairs.path}: no faults. {len(pairs.records):,} rows ({sizes}), {distinct}.")
    return 0


def train(options: argparse.Namespace) -> int:
    """Train a new version. Its folder is the last line on stdout."""
    recipe = _recipe(options)
    if options.name is not None:
        recipe = Recipe.parse({**recipe.model_dump(), "name": options.name}, "--name")
    data = _manifest(recipe, options)
    where = run.Options(data, options.out, options.work, options.resume, options.tensorboard)
    # Under torchrun one process speaks for all.
    with TerminalProgress() if os.environ.get("RANK", "0") == "0" else nullcontext(SilentProgress()) as progress:
        folder = run.train(recipe, where, progress)
    if folder is None:
        return 0
    print(f"Model card: {folder / 'MODEL_CARD.md'}")
    print(folder)
    return 0


def compare(options: argparse.Namespace) -> int:
    """Train several fusions from several seeds, and print how they compare. What is done is not done again."""
    recipe = _recipe(options)
    known = get_args(FusionName)
    names = list(known) if options.fusion == "all" else options.fusion.split(",")
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"--fusion {unknown[0]}: not one of {', '.join(known)}, or all.")
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds}: must be at least 1.")
    asked = comparison.Asked(names, options.seeds, [read_recipe(path) for path in options.others])
    with TerminalProgress() as progress:
        pairs = run.check(recipe, _manifest(recipe, options), progress)
        trials = comparison.compare(recipe, pairs, asked, options.work, options.out, progress)
    table = report.comparison_table(trials)
    (options.out / "COMPARISON.md").write_text(f"# {recipe.name}: fusions compared\n\n{table}\n", encoding="utf-8")
    (options.out / "comparison.png").write_bytes(report.comparison_plot(trials))
    print(f"{table}\n\n{options.out}")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Measure a checkpoint on a manifest with the columns that it was trained on."""
    if options.index_recall and find_spec("faiss") is None:
        raise ConfigError("--index-recall: needs faiss. pip install faiss-cpu")
    checkpoint = read_checkpoint(options.checkpoint)
    recipe = _recipe_of(checkpoint)
    pairs = load_pairs(
        options.manifest,
        recipe.data.columns,
        seed=recipe.seed,
        val=recipe.data.val_fraction,
        test=recipe.data.test_fraction,
    )
    if options.split is not None and options.split not in SPLITS:
        raise ManifestError([f"--split {options.split}: is none of {', '.join(SPLITS)}."])
    rows = pairs.rows(*([options.split] if options.split else SPLITS))
    if not len(rows):
        raise ManifestError([f"{options.manifest.name}: no rows in split {options.split}."])
    records = [pairs.records[row] for row in rows]
    predictor = load_predictor(checkpoint, num_threads=os.cpu_count() or 1)
    with TerminalProgress() as progress:
        outputs = run_subsets(
            predictor, records, progress, manifest=pairs.path.name, unsaid=recipe.objective.unsaid
        )
    measured = Measured.of(recipe)
    figures = {
        "checkpoint": f"{checkpoint.config.name}/{checkpoint.config.version}",
        "split": options.split or "all",
        "rows": len(records),
        "subsets": measure(
            outputs, records, checkpoint.config, measured=measured, with_index=options.index_recall
        ),
        "fusion_gain": fusion_gain(outputs, records, checkpoint.config, measured=measured),
    }
    if options.report is not None:
        metrics = {**figures, "data": describe(pairs, checkpoint.config.network)}
        shown = report.illustrations(
            outputs, records, checkpoint.config, pictures=recipe.report.pictures, matching=measured.matching
        )
        _write_report(options, checkpoint.config, metrics, shown)
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 0


def _recipe_of(checkpoint: Checkpoint) -> Recipe:
    try:
        return Recipe.parse(checkpoint.config.provenance["recipe"], "the checkpoint's recipe")
    except (KeyError, ConfigError) as error:
        raise CheckpointError(f"{checkpoint.path}: its recipe cannot be read ({error}). Train it again.") from None


def _write_report(
    options: argparse.Namespace, config: CheckpointConfig, figures: dict[str, Any], shown: dict[str, bytes]
) -> None:
    split = f" --split {options.split}" if options.split else ""
    command = f"python -m training evaluate {figures['checkpoint']} {options.manifest.name}{split}"
    metrics = {**figures, "command": command}
    words = report.evaluation_report(config, metrics, shown).encode("utf-8")
    files = {**shown, "metrics.json": assemble.to_json(metrics), "REPORT.md": words}
    assemble.write_files(options.report, files)


def _recipe(options: argparse.Namespace) -> Recipe:
    recipe = read_recipe(options.recipe)
    if options.start_from is None:
        return recipe
    return recipe.model_copy(update={"start_from": str(options.start_from)})


def _manifest(recipe: Recipe, options: argparse.Namespace) -> Path:
    if options.data is not None:
        return Path(options.data)
    if recipe.data.manifest is None:
        raise ConfigError(f"{options.recipe} names no data.manifest. Give one with --data.")
    return Path(options.recipe).parent / recipe.data.manifest
