"""A model trained by a recipe on rows that are made here, and what it makes of recordings."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.speech.strings import Spoken
from models.checkpoint import read_checkpoint
from models.decode_audio import decode_audio
from models.errors import CheckpointError
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from training.progress import TerminalProgress
from training.recipe import Recipe
from training.run import Options, train

_BATCH = 32


def trained(recipe: Recipe, rows: Sequence[dict[str, str]], folder: Path, cache: Path | None = None) -> Predictor:
    """Train on the rows, and write all into the folder; frames of a frozen encoder into `cache`, for others too.

    What stands there already, by the same recipe on the same rows, is not trained again, and a training that was
    broken off goes on. So a command that was interrupted loses little.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "rows.csv"
    words = _csv(rows)
    same = manifest.exists() and manifest.read_text(encoding="utf-8") == words
    if not same:
        manifest.write_text(words, encoding="utf-8")
    found = _finished(recipe, folder / "checkpoints" / recipe.name) if same else None
    if found is None:
        # Of each recipe its own: a state of another cannot go on.
        work = folder / f"work-{hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:8]}"
        if cache is not None and not (work / "cache").exists():
            work.mkdir(parents=True, exist_ok=True)
            cache.mkdir(parents=True, exist_ok=True)
            (work / "cache").symlink_to(cache.resolve(), target_is_directory=True)
        options = Options(data=manifest, out=folder / "checkpoints", work=work, resume=same)
        with TerminalProgress() as progress:
            found = train(recipe, options, progress)
    if found is None:
        raise SystemExit("run this in one process, without torchrun")
    return load_predictor(read_checkpoint(found), engine="onnx")


def _csv(rows: Sequence[dict[str, str]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _finished(recipe: Recipe, versions: Path) -> Path | None:
    for version in sorted(versions.glob("[0-9]*"), key=lambda path: int(path.name), reverse=True):
        try:
            if read_checkpoint(version).config.provenance.get("recipe") == recipe.model_dump(mode="json"):
                return version
        except CheckpointError:
            continue  # being written, when the training was broken off
    return None


def samples_of(predictor: Predictor, recordings: Sequence[bytes]) -> list[Sample]:
    """Files of recordings, decoded as the service does."""
    audio = predictor.config.preprocessing.audio
    if audio is None:
        raise SystemExit(f"{predictor.config.name} hears nothing: it has no network.audio")
    return [Sample(audio=decode_audio(data, rate_hz=audio.rate_hz, field="audio")) for data in recordings]


def labels_heard(predictor: Predictor, head: str, recordings: Sequence[bytes]) -> list[str]:
    """The best label of each."""
    labels = predictor.config.network.classes[head].labels
    examples = [predictor.prepare(sample) for sample in samples_of(predictor, recordings)]
    return [
        labels[int(np.argmax(one.scores[head]))]
        for start in range(0, len(examples), _BATCH)
        for one in predictor.predict(examples[start : start + _BATCH])
    ]


def texts_heard(predictor: Predictor, recordings: Sequence[bytes]) -> list[str]:
    """What is said in each, read greedily."""
    transcriber = predictor.transcriber
    if transcriber is None:
        raise SystemExit(f"{predictor.config.name} does not transcribe: it has no network.transcript")
    ready = [transcriber.prepare(sample) for sample in samples_of(predictor, recordings)]
    return [
        one.text
        for start in range(0, len(ready), _BATCH)
        for one in transcriber.transcribe(ready[start : start + _BATCH])
    ]


def wavs(strings: Sequence[Spoken]) -> list[bytes]:
    return [one.wav for one in strings]
