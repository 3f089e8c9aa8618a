"""Where models come from: the versions under the checkpoints folder, each read whole into memory."""

import logging
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol

from app.served import Model
from app.settings import Settings
from models.checkpoint import find_versions, read_checkpoint
from models.errors import ConfigError
from models.predictor import load_predictor
from retrieval.gallery import WritableGallery
from retrieval.seed_gallery import SeedGallery, read_seed
from retrieval.store import Seed, Store

_LOG = logging.getLogger(__name__)


class Source(Protocol):
    """Where versions are found and read. Every call may block, and may be made from any thread."""

    def versions(self) -> Mapping[str, Sequence[int]]:
        """The whole versions that there are, ascending, by name."""

    def load(self, name: str, version: int) -> Model:
        """Read a version that `versions` has named.

        Raises:
            Exception: it cannot be used.
        """

    def state(self, name: str, version: int) -> Hashable:
        """What changes when the version's files do."""


class Checkpoints:
    """The folder INTERMODAL_CHECKPOINTS. See `Source`."""

    def __init__(
        self, settings: Settings, progress: Callable[[str], None] = _LOG.info, store: Store | None = None
    ) -> None:
        """Look at nothing yet.

        Args:
            settings: the folder, and on what engine to load.
            store: where galleries are kept; None serves the seeds as they are.
            progress: takes a line at the start of each step.
        """
        self._settings = settings
        self._progress = progress
        self._store = store

    def versions(self) -> Mapping[str, Sequence[int]]:
        """See `Source.versions`."""
        return find_versions(self._settings.checkpoints)

    def load(self, name: str, version: int) -> Model:
        """Read a checkpoint with its gallery, and start its engine.

        Raises:
            ConfigError: the folder holds another model.
            CheckpointError: a checkpoint that cannot be used.
            EngineError: an engine that is not installed.
            SeedError: a gallery that cannot be read.
            GalleryError: one that is kept cannot be opened.
        """
        settings = self._settings
        path = settings.checkpoints / name / str(version)
        self._progress(f"Reading checkpoint {path}")
        checkpoint = read_checkpoint(path, pin=settings.checkpoint_sha256)
        found = checkpoint.config
        if (found.name, found.version) != (name, version):
            raise ConfigError(f"{path} holds {found.name} version {found.version}. Rename it.")
        self._progress(f"Starting engine for {name} version {version}")
        predictor = load_predictor(
            checkpoint, engine=settings.engine, num_threads=settings.num_threads, compiled=settings.compile
        )
        seed = None if checkpoint.gallery_path is None else read_seed(checkpoint.gallery_path)
        model = Model(predictor, seed)
        return model if self._store is None else with_galleries(model, self._store, seed)

    def state(self, name: str, version: int) -> Hashable:
        """Name, size and time of every file: a version that is being copied here grows after its config.json."""
        folder = self._settings.checkpoints / name / str(version)
        files = [(path.relative_to(folder).as_posix(), path.lstat()) for path in folder.rglob("*")]
        return frozenset((relative, found.st_size, found.st_mtime_ns) for relative, found in files)


def with_galleries(model: Model, store: Store, seed: SeedGallery | None) -> Model:
    """The model with its galleries as they are kept; its own is made from the seed at first."""
    name, embedding = model.name, model.embedding
    merged = None if seed is None else Seed(version=model.version, items=seed)
    own = store.open(name, embedding, model=name, seed=merged)
    others = {
        other: store.open(other, embedding, model=name)
        for other, owner in store.models().items()
        if owner == name and other != name
    }
    kept = Model(model.predictor, own, dict(others))
    # Whoever still answers with the model holds it; the views go when nobody does.
    weakref.finalize(kept, _close, [own, *others.values()]).atexit = False
    return kept


def _close(views: Sequence[WritableGallery]) -> None:
    for view in views:
        view.close()
