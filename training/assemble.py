"""From trained weights to a whole version on disk: graphs, gallery seed, card, and config.json last."""

import hashlib
import io
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tokenizers import Tokenizer

from models.checkpoint import (
    CONFIG,
    FORMAT,
    GALLERY,
    LANGUAGE_MODEL,
    TOKENIZER,
    Checkpoint,
    CheckpointConfig,
    embedding_id,
)
from models.decode import decode_image
from models.nets.network import Network
from models.predictor import Predictor
from retrieval.item import Item
from retrieval.seed_gallery import write_seed
from training.data.pairs import Pairs
from training.export import export_network
from training.measures.passes import BATCH
from training.measures.prepared import prepare
from training.optimisation.loop import Progress
from training.recipe import GalleryRecipe, Recipe


def in_memory_checkpoint(
    network: Network, tokenizer: Tokenizer | None, recipe: Recipe, provenance: Mapping[str, Any]
) -> Checkpoint:
    """The checkpoint as it will be, before calibration: ready for an engine, nothing on disk yet."""
    side = recipe.preprocessing.image.side_px if recipe.preprocessing.image else 0
    exported = export_network(network, side)
    contents = dict(exported.files)
    if tokenizer is not None:
        contents[TOKENIZER] = tokenizer.to_str().encode("utf-8")
    if recipe.language_model:
        contents[LANGUAGE_MODEL] = Path(recipe.language_model).read_bytes()
    config = CheckpointConfig(
        format=FORMAT,
        name=recipe.name,
        version=1,
        network=network.config,
        preprocessing=recipe.preprocessing,
        embedding_id=embedding_id(
            contents, network.config.model_dump(mode="json"), recipe.preprocessing.model_dump(mode="json")
        ),
        graphs=exported.graphs,
        files={},
        provenance=dict(provenance),
    )
    return Checkpoint(Path(recipe.name), config, "", contents)


def claim_version(out: Path, name: str) -> Path:
    """Make the folder of the next version; two trainings at once get two numbers."""
    while True:
        taken = [int(path.name) for path in (out / name).glob("*") if path.name.isdecimal()]
        folder = out / name / str(max(taken, default=0) + 1)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below `folder`, making folders as needed."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def seal(folder: Path, config: CheckpointConfig) -> None:
    """Hash every file, and rename config.json into place: from here on the version is whole."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    final = config.model_copy(update={"version": int(folder.name), "files": files})
    partial = folder / f"{CONFIG}.partial"
    partial.write_text(final.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.rename(folder / CONFIG)


def write_gallery(
    folder: Path, predictor: Predictor, pairs: Pairs, config: GalleryRecipe, progress: Progress
) -> int:
    """Choose, embed and write the seed of the gallery; returns the number of items.

    One row for each text, from train and val only: the test rows stay unseen. Chosen by the hash of their id, so
    that a larger seed holds the smaller one.
    """
    chosen: dict[tuple[str, ...], int] = {}
    for row in pairs.rows("train", "val"):
        record = pairs.records[row]
        chosen.setdefault(record.texts or (record.id,), int(row))
    order = sorted(chosen.values(), key=lambda row: hashlib.sha256(pairs.records[row].id.encode()).digest())
    records = [pairs.records[row] for row in sorted(order[: config.max_items])]
    if not records:
        return 0
    progress.start("gallery", len(records))
    parts: list[dict[str, NDArray[np.float32]]] = []
    thumbnails: dict[str, bytes] = {}
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        parts.append(predictor.embed_targets([prepare(predictor, record) for record in part]))
        for record in part:
            if record.image is not None:
                thumbnails[record.id] = thumbnail(record.image, config)
        progress.advance(len(part))
    items = [
        Item(
            id=record.id,
            text=record.texts[0] if record.texts else "",
            labels={**record.labels, **{head: list(labels) for head, labels in record.label_sets.items()}},
            # A number is compared, not named: filters reach it as metadata.
            metadata={**record.targets, **record.metadata},
            has_image=record.image is not None,
        )
        for record in records
    ]
    vectors = {target: np.concatenate([part[target] for part in parts]) for target in parts[0]}
    write_seed(folder / GALLERY, items, vectors, thumbnails)
    return len(items)


def thumbnail(path: Path, config: GalleryRecipe) -> bytes:
    """A JPEG of at most `thumbnail_px` a side."""
    side = config.thumbnail_px
    image = Image.fromarray(decode_image(path.read_bytes(), side_px=side))
    small = ImageOps.contain(image, (side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=config.thumbnail_quality, optimize=True)
    return buffer.getvalue()


def git_commit() -> str:
    """The commit that trained, for the record; empty outside of a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def to_json(value: Any) -> bytes:
    """Readable JSON, keys in their order."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
