"""A whole training run: from a recipe and a manifest to the folder of a new version."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from models.errors import ConfigError, ManifestError
from models.nets.network import Network
from models.predictor import Predictor, load_predictor
from training import assemble, report
from training.data.pairs import Pairs, check_files, load_pairs
from training.data.readings import SensorRows
from training.data.truth import find_heads
from training.measured import Measured
from training.measures.calibrate import fit_calibration
from training.measures.evaluate import measure
from training.measures.facts import describe
from training.measures.gain import fusion_gain
from training.measures.passes import run_subsets
from training.measures.trust_limits import fit_limits
from training.optimisation import distributed
from training.optimisation.curves import Scalars, curves
from training.optimisation.loop import Progress
from training.optimisation.state import RunState, load_module, read_state
from training.recipe import Recipe
from training.setup import Setup, set_up, with_channels
from training.speech import check_language_model
from training.stages import run_stages
from training.trust import fit_trust


@dataclass(frozen=True, slots=True)
class Options:
    """Where a run reads and writes.

    data: the manifest. out: the checkpoints folder. work: caches, and the state to resume from.
    tensorboard: where curves are written; None for none.
    """

    data: Path
    out: Path
    work: Path
    resume: bool = False
    tensorboard: Path | None = None


def read(recipe: Recipe, data: Path) -> Pairs:
    """Read the manifest and give every row its split; images are hashed, not decoded."""
    return load_pairs(
        data,
        recipe.data.columns,
        seed=recipe.seed,
        val=recipe.data.val_fraction,
        test=recipe.data.test_fraction,
    )


def check(recipe: Recipe, data: Path, progress: Progress) -> Pairs:
    """Read the manifest and decode every file, without training.

    Raises:
        ManifestError: with every fault that training would meet.
        ConfigError: an encoder that is to be trained alone, and nothing that it could learn; heads that nothing
            trains.
    """
    # A recording's encoder may learn from transcripts.
    alone = [name for name in recipe.stages.alone if name != "audio" or not recipe.network.transcript]
    if alone and not recipe.data.columns.heads:
        raise ConfigError(
            f"stages.{alone[0]} trains an encoder alone, with labels or targets, and data.columns names none. "
            "Remove the stage."
        )
    if recipe.data.columns.heads and not recipe.stages.train_heads and not recipe.start_from:
        raise ConfigError(
            "stages: without fusion and joint nothing trains the heads of data.columns. Add one of them, or begin "
            "from a version that has the heads: start_from, or --start-from."
        )
    if recipe.untrained and not recipe.start_from:
        name = recipe.untrained[0]
        raise ConfigError(
            f"objective.{name} = 0: nothing else trains network.{name}, which would stay random. Give it a "
            f"weight, leave network.{name} and its column out, or begin from a version that has it: start_from, "
            "or --start-from."
        )
    if recipe.language_model:
        check_language_model(Path(recipe.language_model))
    pairs = read(recipe, data)
    find_heads(pairs, recipe.data.columns, recipe.network.targets)
    if not len(pairs.rows("train")) or not len(pairs.rows("val")):
        raise ManifestError([f"{data.name}: train or val is empty. Add rows, or raise data.val_fraction."])
    faults: list[str] = []
    if (sensors := with_channels(recipe, pairs).preprocessing.sensors) is not None:
        with _listed(faults):
            SensorRows(pairs, sensors)
    progress.start("check files", len(pairs.images) + len(pairs.recordings))
    with _listed(faults):
        check_files(pairs, recipe.preprocessing, progress.advance)
    if faults:
        raise ManifestError(faults)
    return pairs


@contextmanager
def _listed(faults: list[str]) -> Iterator[None]:
    """Add what is wrong with the manifest to those faults, so that all are told at once."""
    try:
        yield
    except ManifestError as error:
        faults += error.faults


def train(recipe: Recipe, options: Options, progress: Progress) -> Path | None:
    """Train, measure on the test split once, and write a new version.

    Under torchrun every process trains, and the first one alone looks at the images, fills the caches, validates
    and writes; the others wait.

    Raises:
        ManifestError: faults in the data, all at once, before anything is trained.
        ConfigError: a recipe that cannot be followed, or a saved state of another run.

    Returns:
        The folder of the new version; None in any process but the first.
    """
    with distributed.session():
        with curves(options.tensorboard if distributed.is_first() else None) as scalars:
            folder = _train(recipe, options, progress, scalars)
        distributed.barrier()
    return folder


def _train(recipe: Recipe, options: Options, progress: Progress, scalars: Scalars) -> Path | None:
    first = distributed.is_first()
    options.work.mkdir(parents=True, exist_ok=True)
    pairs = check(recipe, options.data, progress) if first else read(recipe, options.data)
    setup = set_up(recipe, pairs, options.work, progress)
    plan, bench = setup.plan, setup.plan.bench
    state, path = _run_state(recipe, pairs, options)
    if state.finished or state.stage:  # also within a stage: the fusion stage encodes before it loads its state
        load_module(path, bench)
    run_stages(plan, state=state, path=path, scalars=scalars)
    distributed.barrier()  # the others have read the state, if they went on from one
    if not first:
        return None
    bench.eval()
    if recipe.stages.train_heads:  # else the fusion is as it was
        fit_trust(plan)
    folder = _write(recipe, pairs, bench.network.cpu(), setup, state, options.out, progress)
    path.unlink()
    return folder


def _run_state(recipe: Recipe, pairs: Pairs, options: Options) -> tuple[RunState, Path]:
    """The state to go on from, or a new one; another recipe or other data cannot be resumed."""
    fingerprint = hashlib.sha256(f"{recipe.model_dump_json()}{pairs.hash}".encode()).hexdigest()
    path = options.work / f"{recipe.name}.state.safetensors"
    found = read_state(path) if options.resume else None
    if found is None:
        return RunState(fingerprint), path
    if found.fingerprint != fingerprint:
        raise ConfigError(
            f"{path} is the state of a run with another recipe or other data. Start again without --resume."
        )
    return found, path


def _hardware() -> str:
    card = distributed.device()
    name = torch.cuda.get_device_name(card) if card.type == "cuda" else f"{torch.get_num_threads()} thread(s)"
    return f"{platform.machine()}, {name}, {distributed.size()} process(es)"


def _write(
    recipe: Recipe,
    pairs: Pairs,
    network: Network,
    setup: Setup,
    state: RunState,
    out: Path,
    progress: Progress,
) -> Path:
    provenance = {
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.seed,
        "data_hash": pairs.hash,
        "data_licence": recipe.data.licence,
        "pretrained": "; ".join(dict.fromkeys(setup.origins.values())) or "none",
        "commit": assemble.git_commit(),
        "hardware": _hardware(),
        "torch": torch.__version__.split("+")[0],
    }
    # The plan's recipe has what the data decided.
    checkpoint = assemble.in_memory_checkpoint(network, setup.tokenizer, setup.plan.recipe, provenance)
    predictor = load_predictor(checkpoint, engine="onnx", num_threads=torch.get_num_threads())
    val = [pairs.records[row] for row in pairs.rows("val")]
    unsaid = recipe.objective.unsaid
    val_outputs = run_subsets(predictor, val, progress, manifest=pairs.path.name, unsaid=unsaid)
    config = checkpoint.config.model_copy(
        update={"calibration": fit_calibration(val_outputs, val, checkpoint.config)}
    )
    config = config.model_copy(update={"trust": fit_limits(recipe.trust, val_outputs, config)})
    predictor = Predictor(config, predictor.preprocessors, predictor.engine)
    # The one look at the test split. Without one, the card says what val gives.
    test = [pairs.records[row] for row in pairs.rows("test")] or val
    test_outputs = val_outputs
    if test is not val:
        test_outputs = run_subsets(predictor, test, progress, manifest=pairs.path.name, unsaid=unsaid)
    folder = assemble.claim_version(out, recipe.name)
    measured = Measured.of(recipe)
    metrics = {
        "version": int(folder.name),
        "splits": pairs.sizes(),
        "data": describe(pairs, config.network),
        "test": measure(test_outputs, test, config, measured=measured),
        "val": measure(val_outputs, val, config, measured=measured),
        "fusion_gain": {
            "test": fusion_gain(test_outputs, test, config, measured=measured),
            "val": fusion_gain(val_outputs, val, config, measured=measured),
        },
        "history": state.history,
    }
    shown = report.illustrations(
        test_outputs, test, config, pictures=recipe.report.pictures, matching=measured.matching
    )
    shown[report.LEARNING] = report.learning_plot(state.history)
    files = {
        **checkpoint.contents,
        "metrics.json": assemble.to_json(metrics),
        "MODEL_CARD.md": report.model_card(config, metrics, shown).encode("utf-8"),
        **shown,
    }
    assemble.write_files(folder, files)
    assemble.write_gallery(folder, predictor, pairs, recipe.gallery, progress)
    assemble.seal(folder, config.model_copy(update={"provenance": {**provenance, "metrics": metrics["test"]}}))
    return folder
