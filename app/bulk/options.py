"""What the commands of `python -m app` that work through many rows have in common on their command lines."""

import argparse
from collections.abc import Callable
from time import monotonic
from typing import Any

from app.settings import Settings
from app.settings_reading import load_settings
from models.checkpoint import CheckpointConfig
from models.columns import Columns
from models.errors import ConfigError

Say = Callable[[str], None]

COLUMNS = ("id", "image", "audio", "sensors", "text", "labels", "multi_labels", "targets", "metadata")
_SINGLE = ("id", "image", "audio")
_LINE_SECONDS = 2.0
_SETTING = "setting."


def kebab(name: str) -> str:
    """A name as flags are spelt."""
    return name.replace("_", "-")


def settings_parser() -> argparse.ArgumentParser:
    """A parent of parsers that knows every setting by its flag, or a value would be taken for something else."""
    parser = argparse.ArgumentParser(add_help=False)
    for name in Settings.model_fields:
        parser.add_argument(f"--{kebab(name)}", dest=_SETTING + name, help=argparse.SUPPRESS)
    return parser


def read_settings(options: argparse.Namespace, **fixed: str) -> Settings:
    """The settings, flags included; `fixed` win over these. Raises ConfigError."""
    given = {name: getattr(options, _SETTING + name) for name in Settings.model_fields} | fixed
    return load_settings([f"--{kebab(name)}={value}" for name, value in given.items() if value is not None])


def add_columns(parser: argparse.ArgumentParser, names: tuple[str, ...] = COLUMNS) -> None:
    """Flags that say which column is what."""
    for name in names:
        parser.add_argument(f"--{kebab(name)}", help="columns, by commas")


def columns_of(options: Any, config: CheckpointConfig, names: tuple[str, ...] = COLUMNS) -> Columns:
    """The columns that the flags name; without any, those that the model was trained on.

    Raises:
        ConfigError: neither the flags nor the model say.
    """
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if given:
        return Columns.model_validate({name: _cut(name, value) for name, value in given.items()})
    recipe = (config.provenance or {}).get("recipe", {})
    known = recipe.get("data", {}).get("columns")
    if known is None:
        raise ConfigError("This model does not say which columns it was trained on. Name them: --image, --text, …")
    return Columns.model_validate({**known, "group": [], "split": None})


def _cut(name: str, value: str) -> str | list[str]:
    """One column, or several by commas; one of sensors alone is of objects."""
    parts = value.split(",")
    return value if name in _SINGLE or (name == "sensors" and len(parts) == 1) else parts


class Line:
    """Says every few seconds how far it is."""

    def __init__(self, total: int, say: Say) -> None:
        self._total, self._say = total, say
        self._began = self._last = monotonic()
        self._first = 0

    def begin_at(self, count: int) -> None:
        """So many were done before."""
        self._first = count

    def show(self, count: int) -> None:
        """Say it, if it is time."""
        now = monotonic()
        if now - self._last >= _LINE_SECONDS:
            self._last = now
            rate = (count - self._first) / (now - self._began)
            self._say(f"{count:,} of {self._total:,}, {rate:.0f} a second")
