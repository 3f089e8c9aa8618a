"""Where models come from: the versions under the checkpoints folder, each read whole into memory."""

import logging
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Protocol

from app.readahead import Readahead, read_version
from app.served import Model
from app.settings import Settings
from models.checkpoint import find_versions
from models.predictor import Predictor
from retrieval.gallery import WritableGallery
from retrieval.seed_gallery import read_seed
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
        self,
        settings: Settings,
        progress: Callable[[str], None] = _LOG.info,
        store: Store | None = None,
        ahead: Readahead | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            settings: the folder, and on what engine to load.
            store: where galleries are kept; None serves the seeds as they are.
            progress: takes a line at the start of each step.
            ahead: what is being read already.
        """
        self._settings = settings
        self._progress = progress
        self._ahead = ahead
        self.store = store

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
        found = None if self._ahead is None else self._ahead.get(name, version)
        checkpoint, predictor = found or read_version(self._settings, name, version, self._progress)
        folder = checkpoint.gallery_path
        if self.store is None:
            return Model(predictor, None if folder is None else read_seed(folder))
        seed = None if folder is None else Seed(version=version, read=partial(read_seed, folder))
        return with_galleries(predictor, self.store, seed)

    def read_ahead_no_more(self) -> None:
        """Let go of what was read ahead: it takes memory, and by the next reading files may have changed."""
        if self._ahead is not None:
            self._ahead.clear()
            self._ahead = None

    def state(self, name: str, version: int) -> Hashable:
        """Name, size and time of every file: a version that is being copied here grows after its config.json."""
        folder = self._settings.checkpoints / name / str(version)
        files = [(path.relative_to(folder).as_posix(), path.lstat()) for path in folder.rglob("*")]
        return frozenset((relative, found.st_size, found.st_mtime_ns) for relative, found in files)


def with_galleries(predictor: Predictor, store: Store, seed: Seed | None) -> Model:
    """The model with its galleries as they are kept; its own is made from the seed at first."""
    bare = Model(predictor)
    name, embedding = bare.name, bare.embedding
    own = store.open(name, embedding, model=name, seed=seed)
    others = {
        other: store.open(other, embedding, model=name)
        for other, owner in store.models().items()
        if owner == name and other != name
    }
    kept = Model(predictor, own, dict(others))
    # Whoever still answers with the model holds it; the views go when nobody does.
    weakref.finalize(kept, _close, [own, *others.values()]).atexit = False
    return kept


def _close(views: Sequence[WritableGallery]) -> None:
    for view in views:
        view.close()
