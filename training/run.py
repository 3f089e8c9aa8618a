"""A whole training run: from a recipe and a manifest to the folder of a new version."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from models.config import ClassificationHead, NetworkConfig
from models.errors import ConfigError, ManifestError
from models.nets.encoders.image import ImageEncoder
from models.nets.network import Network
from models.predictor import Predictor, load_predictor
from models.preprocess import Preprocessors
from models.preprocess.text import UNKNOWN
from training import assemble, distributed, report
from training.batches import BatchSource
from training.cache import LowerCache, open_lower_cache
from training.curves import Scalars, curves
from training.data import (
    Pairs,
    check_images,
    label_numbers,
    label_vocabularies,
    load_pairs,
    prepare_pixels,
    prepare_texts,
)
from training.evaluate import fit_calibration, measure, run_subsets
from training.loop import Progress
from training.pretrained import load_backbone
from training.recipe import Recipe
from training.stages import Plan, Workbench, run_stages
from training.state import RunState, load_module, read_state
from training.tokenizer import train_tokenizer
from training.trust import fit_trust

STATISTICS_IMAGES = 1_024  # enough for a mean and a deviation of each feature


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
    """Read the manifest and decode every image, without training.

    Raises:
        ManifestError: with every fault that training would meet.
    """
    pairs = read(recipe, data)
    label_vocabularies(pairs, recipe.data.columns.labels)
    if not len(pairs.rows("train")) or not len(pairs.rows("val")):
        raise ManifestError([f"{data.name}: train or val is empty. Add rows, or raise data.val_fraction."])
    if recipe.preprocessing.image is not None:
        progress.start("check images", len(pairs.images))
        check_images(pairs, recipe.preprocessing.image.side_px, progress.advance)
    return pairs


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
    torch.manual_seed(recipe.seed)
    tokenizer = _tokenizer(recipe, pairs)
    config = _network_config(recipe, pairs, tokenizer)
    bench = Workbench(Network(config))
    origin = _load_pretrained(bench.network, recipe)
    source = distributed.first_then_others(
        lambda: _source(recipe, pairs, config, bench.network, tokenizer, options.work, progress)
    )
    bench.to(memory_format=torch.channels_last).to(source.device)
    state, path = _run_state(recipe, pairs, options)
    if state.finished or state.stage:  # also within a stage: the fusion stage encodes before it loads its state
        load_module(path, bench)
    unknown = (tokenizer.token_to_id(UNKNOWN) if tokenizer is not None else None) or 0
    plan = Plan(bench, source, recipe, unknown, progress, options.work)
    run_stages(plan, state=state, path=path, scalars=scalars)
    distributed.barrier()  # the others have read the state, if they went on from one
    if not first:
        return None
    bench.eval()
    fit_trust(plan)
    folder = _write(recipe, pairs, bench.network.cpu().eval(), tokenizer, state, origin, options.out, progress)
    path.unlink()
    return folder


def _tokenizer(recipe: Recipe, pairs: Pairs) -> Tokenizer | None:
    if recipe.network.text is None:
        return None
    texts = (text for row in pairs.rows("train") for text in pairs.records[row].texts)
    return train_tokenizer(texts, recipe.network.text.vocab_size)


def _network_config(recipe: Recipe, pairs: Pairs, tokenizer: Tokenizer | None) -> NetworkConfig:
    """The recipe's network with what the data decides: labels, and the subwords that were found."""
    labels = label_vocabularies(pairs, recipe.data.columns.labels)
    changes: dict[str, object] = {
        "classes": {head: ClassificationHead(labels=found) for head, found in labels.items()}
    }
    if recipe.network.text is not None and tokenizer is not None:
        changes["text"] = recipe.network.text.model_copy(update={"vocab_size": tokenizer.get_vocab_size()})
    return recipe.network.model_copy(update=changes)


def _load_pretrained(network: Network, recipe: Recipe) -> str:
    if recipe.network.image is None:
        return "none"
    encoder = network.encoders["image"]
    assert isinstance(encoder, ImageEncoder)  # noqa: S101 - for the type checker
    return load_backbone(encoder, recipe.network.image.backbone, recipe.pretrained)


def _source(
    recipe: Recipe,
    pairs: Pairs,
    config: NetworkConfig,
    network: Network,
    tokenizer: Tokenizer | None,
    work: Path,
    progress: Progress,
) -> BatchSource:
    cache: LowerCache | None = None
    if config.image is not None and pairs.images:
        encoder = network.encoders["image"]
        assert isinstance(encoder, ImageEncoder)  # noqa: S101 - for the type checker
        progress.start("image features", len(pairs.images))
        cache = open_lower_cache(
            work / "cache",
            encoder.eval(),
            key=f"{pairs.hash}:{recipe.preprocessing.image}",
            num_images=len(pairs.images),
            pixels_of=lambda images: prepare_pixels([pairs.images[i] for i in images], recipe.preprocessing),
            mirror=recipe.augmentation.mirror,
            advance=progress.advance,
        )
        train = pairs.image_of_N[pairs.rows("train")]
        some = train[train >= 0][:STATISTICS_IMAGES]
        if len(some):
            encoder.standardise(cache.load(np.zeros_like(some), some))
    preprocessors = Preprocessors(recipe.preprocessing, tokenizer)
    captions = prepare_texts(pairs, preprocessors) if config.text is not None else [[] for _ in pairs.records]
    labels_NH = label_numbers(pairs, {head: part.labels for head, part in config.classes.items()})
    return BatchSource(pairs, config.modalities, labels_NH, cache, captions, distributed.device())


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
    tokenizer: Tokenizer | None,
    state: RunState,
    origin: str,
    out: Path,
    progress: Progress,
) -> Path:
    provenance = {
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.seed,
        "data_hash": pairs.hash,
        "data_licence": recipe.data.licence,
        "pretrained": origin,
        "commit": assemble.git_commit(),
        "hardware": _hardware(),
        "torch": torch.__version__.split("+")[0],
    }
    checkpoint = assemble.in_memory_checkpoint(network, tokenizer, recipe, provenance)
    predictor = load_predictor(checkpoint, engine="onnx", num_threads=torch.get_num_threads())
    val = [pairs.records[row] for row in pairs.rows("val")]
    val_outputs = run_subsets(predictor, val, progress)
    config = checkpoint.config.model_copy(
        update={"calibration": fit_calibration(val_outputs, val, checkpoint.config)}
    )
    predictor = Predictor(config, predictor.preprocessors, predictor.engine)
    # The one look at the test split. Without one, the card says what val gives.
    test = [pairs.records[row] for row in pairs.rows("test")] or val
    test_outputs = run_subsets(predictor, test, progress)
    folder = assemble.claim_version(out, recipe.name)
    metrics = {
        "version": int(folder.name),
        "splits": pairs.sizes(),
        "test": measure(test_outputs, test, config),
        "val": measure(val_outputs, val, config),
        "history": state.history,
    }
    files = {
        **checkpoint.contents,
        "metrics.json": assemble.to_json(metrics),
        "MODEL_CARD.md": report.model_card(config, metrics).encode("utf-8"),
        report.LEARNING: report.learning_plot(state.history),
        report.RELIABILITY: report.reliability_plot(test_outputs, test, config),
    }
    assemble.write_files(folder, files)
    assemble.write_gallery(folder, predictor, pairs, recipe.gallery, progress)
    assemble.seal(folder, config.model_copy(update={"provenance": {**provenance, "metrics": metrics["test"]}}))
    return folder
