"""Versions that are read from the process's first moments on, beside the imports of the rest.

Reading, hashing and making an engine leave the interpreter to others; so they cost a start next to no time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from app.choice import choose_models
from app.settings import Settings
from models.checkpoint import Checkpoint, read_checkpoint
from models.errors import ConfigError
from models.predictor import Predictor, load_predictor


class Version(NamedTuple):
    """A version in memory, with its engine started. Its gallery is not read yet."""

    checkpoint: Checkpoint
    predictor: Predictor


def read_version(settings: Settings, name: str, version: int, progress: Callable[[str], None]) -> Version:
    """Read a checkpoint and start its engine.

    Raises:
        ConfigError: the folder holds another model.
        CheckpointError: a checkpoint that cannot be used.
        EngineError: an engine that is not installed.
    """
    path = settings.checkpoints / name / str(version)
    progress(f"Reading checkpoint {path}")
    checkpoint = read_checkpoint(path, pin=settings.checkpoint_sha256)
    found = checkpoint.config
    if (found.name, found.version) != (name, version):
        raise ConfigError(f"{path} holds {found.name} version {found.version}. Rename it.")
    progress(f"Starting engine for {name} version {version}")
    predictor = load_predictor(
        checkpoint, engine=settings.engine, num_threads=settings.num_threads, compiled=settings.compile
    )
    return Version(checkpoint, predictor)


class Readahead:
    """Reads what the settings choose, each version in a thread of its own."""

    def __init__(self, settings: Settings, progress: Callable[[str], None]) -> None:
        """Begin.

        Raises:
            ConfigError: there is nothing to be read, or not what the settings name.
        """
        chosen = choose_models(settings)
        pool = ThreadPoolExecutor(len(chosen), thread_name_prefix="read-ahead")
        self._versions: dict[tuple[str, int], Future[Version]] = {
            (name, version): pool.submit(read_version, settings, name, version, progress)
            for name, version in chosen
        }
        pool.shutdown(wait=False)

    def get(self, name: str, version: int) -> Version | None:
        """A version, once it is read; None for one that is not being read. Raises as `read_version` does."""
        found = self._versions.get((name, version))
        return None if found is None else found.result()

    def clear(self) -> None:
        """Let go of everything."""
        self._versions.clear()
