"""From settings to a Service: which checkpoints to read, and how."""

import logging
from collections.abc import Callable, Sequence

from app.checkpoints import Checkpoints
from app.choice import choose_models
from app.memory import trim
from app.readahead import Readahead
from app.service import Service
from app.settings import Settings
from app.stores import open_store
from app.upload import check_folder
from models.errors import ConfigError
from retrieval.errors import GalleryBusyError
from retrieval.store import Store

_LOG = logging.getLogger(__name__)


def load_service(
    settings: Settings, progress: Callable[[str], None] = _LOG.info, ahead: Readahead | None = None
) -> Service:
    """Read every checkpoint that is to be served, and start its engine.

    Args:
        settings: which, from where, and on what engine.
        progress: takes a line at the start of each step.
        ahead: what is being read already.

    Raises:
        ConfigError: a model or version that is not there, or no folder for uploads.
        CheckpointError: a checkpoint that cannot be used.
        EngineError: an engine that is not installed.
        SeedError: a gallery that cannot be read.
        GalleryError: one that is kept cannot be opened.
    """
    check_folder()
    chosen = choose_models(settings)
    if settings.checkpoint_sha256 is not None and len(chosen) > 1:
        raise ConfigError("INTERMODAL_CHECKPOINT_SHA256 pins one checkpoint. Name one in INTERMODAL_MODELS.")
    try:
        return _load(settings, chosen, Checkpoints(settings, progress, _store(settings), ahead))
    except GalleryBusyError as error:
        # So that a new process starts while the old one still answers what it has accepted.
        _LOG.warning("%s Until then galleries are only read here, as the checkpoints ship them.", error)
        return _load(settings, chosen, Checkpoints(settings, progress, None, ahead))


def _store(settings: Settings) -> Store | None:
    """Where galleries are kept; None where they only are read."""
    if settings.galleries == "seed":
        return None
    try:
        return open_store(settings)
    except ConfigError as error:
        if "data" in settings.model_fields_set or settings.database_url:
            raise
        # Nobody asked for galleries that change, so a folder that cannot be written is no reason not to serve.
        _LOG.warning("%s Until then galleries are only read here.", error)
        return None


def _load(settings: Settings, chosen: Sequence[tuple[str, int]], checkpoints: Checkpoints) -> Service:
    try:
        models = [checkpoints.load(name, version) for name, version in chosen]
    except BaseException:
        if checkpoints.store is not None:
            checkpoints.store.close()
        raise
    checkpoints.read_ahead_no_more()
    trim()
    return Service(models, settings, checkpoints, store=checkpoints.store)
