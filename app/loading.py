"""From settings to a Service: which checkpoints to read, and how."""

import logging
from collections.abc import Callable, Sequence

from app.checkpoints import Checkpoints
from app.memory import trim
from app.service import Service
from app.settings import Settings
from app.stores import open_store
from app.upload import check_folder
from models.checkpoint import find_versions
from models.errors import ConfigError
from retrieval.errors import GalleryBusyError
from retrieval.store import Store

_LOG = logging.getLogger(__name__)

FLAGSHIP = "fashion"
"""The default model where the settings name none and it is there."""


def load_service(settings: Settings, progress: Callable[[str], None] = _LOG.info) -> Service:
    """Read every checkpoint that is to be served, and start its engine.

    Args:
        settings: which, from where, and on what engine.
        progress: takes a line at the start of each step.

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
    store: Store | None = None
    if settings.galleries == "live":
        store = open_store(settings)
    try:
        return _load(settings, chosen, progress, store)
    except GalleryBusyError as error:
        # So that a new process starts while the old one still answers what it has accepted.
        _LOG.warning("%s Until then galleries are only read here, as the checkpoints ship them.", error)
        return _load(settings, chosen, progress, None)


def _load(
    settings: Settings, chosen: Sequence[tuple[str, int]], progress: Callable[[str], None], store: Store | None
) -> Service:
    checkpoints = Checkpoints(settings, progress, store)
    try:
        models = [checkpoints.load(name, version) for name, version in chosen]
    except BaseException:
        if store is not None:
            store.close()
        raise
    trim()
    return Service(models, settings, checkpoints, store=store)


def choose_models(settings: Settings) -> list[tuple[str, int]]:
    """Name and version of each model to serve, the default first.

    Raises:
        ConfigError: none is there, or not the ones that the settings name.
    """
    found = find_versions(settings.checkpoints)
    if not found:
        raise ConfigError(
            f"INTERMODAL_CHECKPOINTS (--checkpoints) is {str(settings.checkpoints)!r}, which holds no trained "
            "model. Name another folder, or train one: python -m training train recipes/quick.toml"
        )
    wanted = settings.wanted_models or [
        (name, None) for name in sorted(found, key=lambda name: (name != FLAGSHIP, name))
    ]
    chosen = []
    for name, version in wanted:
        versions = found.get(name, [])
        if not versions or version not in (None, *versions):
            there = ", ".join(f"{name}@{version}" for name, versions in found.items() for version in versions)
            asked = name if version is None else f"{name}@{version}"
            raise ConfigError(f"INTERMODAL_MODELS (--models) names {asked!r}. There are: {there}.")
        chosen.append((name, versions[-1] if version is None else version))
    return list(dict.fromkeys(chosen))
