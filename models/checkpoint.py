"""A trained version on disk: `checkpoints/<name>/<version>/`, whole once its config.json is there.

Knows files, hashes and the config's schema; runs nothing. Everything is read into memory: a mapped file that
somebody truncates would kill the process."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from tokenizers import Tokenizer

from models.calibration import Calibration
from models.config import Config, NetworkConfig, Preprocessing
from models.errors import CheckpointError, ConfigError
from models.trust import TrustRules

FORMAT = 1
CONFIG = "config.json"
WEIGHTS = "weights.safetensors"
TOKENIZER = "tokenizer.json"
LANGUAGE_MODEL = "language_model.arpa"
GALLERY = "gallery"
_DECISIVE = (WEIGHTS, TOKENIZER)
_OF_NOTHING = hashlib.sha256().digest()
GRAPH_TENSORS = "graph/"
"""Prefix of tensors in the weights file that only the ONNX graphs use: constants that the network computes, and in
checkpoints from before audio, reordered copies of weights."""


class Graph(Config):
    """An ONNX graph of one role: its file, its inputs and outputs in order, and the weights that it shares."""

    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: tuple[str, ...] = Field((), description="Names of its external tensors in the weights file.")


class CheckpointConfig(Config):
    """The schema of config.json."""

    format: int
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    version: int = Field(ge=1)
    network: NetworkConfig
    preprocessing: Preprocessing
    calibration: Calibration = Calibration()
    trust: TrustRules | None = Field(None, description="What an answer is judged by; None judges none.")
    embedding_id: str
    graphs: dict[str, Graph]
    files: dict[str, str] = Field(description="SHA-256 of every other file, by its relative path.")
    provenance: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A version that was read whole and verified."""

    path: Path
    config: CheckpointConfig
    sha256: str
    """SHA-256 of config.json, which holds the hashes of all the rest: what a pin names."""
    contents: Mapping[str, bytes]
    """Every file except the gallery's, by its relative path."""

    @property
    def weights(self) -> dict[str, NDArray[np.generic]]:
        """All tensors of the weights file, by name, as read-only views of one buffer or copies."""
        try:
            return dict(load_safetensors(self.contents[WEIGHTS]))
        except (KeyError, SafetensorError) as error:
            raise CheckpointError(f"{self.path}: {WEIGHTS} cannot be read: {error}") from error

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The subword tokenizer; None where the network knows no text."""
        data = self.contents.get(TOKENIZER)
        return None if data is None else Tokenizer.from_str(data.decode("utf-8"))

    @property
    def gallery_path(self) -> Path | None:
        """Folder of the gallery's seed, or None where the checkpoint ships none."""
        return self.path / GALLERY if f"{GALLERY}/items.jsonl" in self.config.files else None


def read_checkpoint(path: Path, *, pin: str | None = None) -> Checkpoint:
    """Read and verify the version in folder `path`.

    Args:
        path: `checkpoints/<name>/<version>`.
        pin: the SHA-256 that config.json must have, or None.

    Raises:
        CheckpointError: half-written, altered, unpinned, of another format, or not readable.
    """
    try:
        raw = (path / CONFIG).read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no {CONFIG}, so this version is not whole. Train it again, or remove the folder."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: {CONFIG} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(raw).hexdigest()
    if pin is not None and digest != pin.lower():
        raise CheckpointError(
            f"{path}: {CONFIG} has SHA-256 {digest}, which is not the pinned one. "
            "Set INTERMODAL_CHECKPOINT_SHA256 to this value only if you trust the checkpoint's source."
        )
    config, values = _parse_config(raw, path)
    contents = {name: _read_verified(path, name, expected) for name, expected in config.files.items()}
    # Over the file's own words: a field that a later version adds must not change an old checkpoint's id.
    hashes = {name: bytes.fromhex(found) for name, found in config.files.items()}
    found = _embedding_id(hashes, values["network"], values["preprocessing"])
    if found != config.embedding_id:
        raise CheckpointError(f"{path}: embedding_id does not match the files. Restore the checkpoint.")
    kept = {name: data for name, data in contents.items() if not name.startswith(f"{GALLERY}/")}
    return Checkpoint(path, config, digest, kept)


def _parse_config(raw: bytes, path: Path) -> tuple[CheckpointConfig, dict[str, Any]]:
    try:
        values = json.loads(raw)
        found = values["format"]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path}: {CONFIG} is not a checkpoint's config. Restore the checkpoint.") from None
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: format {found}; this version of Intermodal reads {FORMAT}. Train it again."
        )
    try:
        return CheckpointConfig.parse(values, f"{path.name}/{CONFIG}"), values
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def _read_verified(path: Path, name: str, expected: str) -> bytes:
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts:
        raise CheckpointError(f"{path}: {CONFIG} names a file outside of the checkpoint. Do not use it.")
    try:
        data = (path / name).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {name} cannot be read: {error.strerror}. Restore it.") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise CheckpointError(f"{path}: {name} was altered or cut short (SHA-256 differs). Restore it.")
    return data


def embedding_id(
    contents: Mapping[str, bytes], network: Mapping[str, Any], preprocessing: Mapping[str, Any]
) -> str:
    """SHA-256 over everything that decides an embedding: weights, tokenizer, network, preprocessing (as JSON)."""
    hashes = {name: hashlib.sha256(data).digest() for name, data in contents.items() if name in _DECISIVE}
    return _embedding_id(hashes, network, preprocessing)


def _embedding_id(
    hashes: Mapping[str, bytes], network: Mapping[str, Any], preprocessing: Mapping[str, Any]
) -> str:
    """`embedding_id` by the SHA-256 of each file."""
    digest = hashlib.sha256()
    for name in _DECISIVE:
        digest.update(hashes.get(name, _OF_NOTHING))
    for config in (network, preprocessing):
        digest.update(json.dumps(config, sort_keys=True).encode())
    return digest.hexdigest()


def find_versions(root: Path) -> dict[str, list[int]]:
    """Whole versions under a checkpoints folder, ascending, by model name."""
    found: dict[str, list[int]] = {}
    for config in root.glob(f"*/*/{CONFIG}"):
        if config.parent.name.isdecimal():
            found.setdefault(config.parent.parent.name, []).append(int(config.parent.name))
    return {name: sorted(versions) for name, versions in sorted(found.items())}
