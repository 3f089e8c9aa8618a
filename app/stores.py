"""Where live galleries are kept, as the settings say: a folder of this process, or a database that many share."""

import importlib
import os
from typing import Protocol

from app.settings import Settings
from models.errors import ConfigError
from retrieval.sqlite.store import SqliteStore
from retrieval.store import Store
from retrieval.transfer import Transferable


class KeptStore(Store, Transferable, Protocol):
    """A store whose galleries can be copied, as both kinds are."""


def open_store(settings: Settings) -> KeptStore:
    """The store; nothing of it is read yet.

    Raises:
        ConfigError: the folder cannot be written, or what the database needs is not installed.
    """
    if settings.database_url:
        return database_store(settings.database_url)
    _check_folder(settings)
    return SqliteStore(settings.data)


def database_store(url: str) -> KeptStore:
    """Galleries in a database. Raises ConfigError as `open_store` does."""
    try:
        # By name: serving without a database does without its driver.
        module = importlib.import_module("retrieval.postgres.store")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"INTERMODAL_DATABASE_URL needs the package {error.name}, which is not installed. "
            "Install the extra: pip install -e '.[postgres]'."
        ) from None
    store: KeptStore = module.PostgresStore(url)
    return store


def _check_folder(settings: Settings) -> None:
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        writable = os.access(settings.data, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise ConfigError(
            f"INTERMODAL_DATA (--data) is {str(settings.data)!r}, which cannot be written. Name a folder that can "
            "be, or serve galleries as the checkpoints ship them: INTERMODAL_GALLERIES=seed."
        )
