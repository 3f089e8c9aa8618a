"""Settings from flags, the environment and a file, and what is said where one of them is wrong."""

import difflib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import DotEnvSettingsSource

from app.settings import PREFIX, PROGRAM, Settings, flag
from app.settings_file import FILE_NAMES, find_settings_file
from models.errors import ConfigError

_LOG = logging.getLogger(__name__)


def load_settings(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Read settings from flags where given, from the environment, and from the settings file; the first has it.

    Args:
        arguments: flags, without the program's name. An unknown flag or --help ends the process, as usual.
        environment: only searched for misspelt variables, which are warned of.

    Raises:
        ConfigError: naming every faulty setting, by variable and flag, and what it takes.
    """
    for warning in unknown_variables(environment or {}):
        _LOG.warning(warning)
    flags = None if arguments is None else list(arguments)
    file = find_settings_file(flags, os.environ)
    try:
        lines = [f"{file}: {name} is no setting. {_hint(name)}" for name in _unknown_names(file)]
        settings, faults = _read(flags, file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{FILE_NAMES} is {str(file)!r}, which cannot be read: {error}") from None
    if faults:
        elsewhere = [(fault["loc"], fault["msg"]) for fault in _read(flags, None)[1]]
        lines += [
            _explain(fault, None if (fault["loc"], fault["msg"]) in elsewhere else file)
            for fault in faults
            if fault["type"] != "extra_forbidden"  # told above
        ]
    if settings is None or lines:
        raise ConfigError("\n".join(lines))
    return settings


def _read(flags: list[str] | None, file: Path | None) -> tuple[Settings | None, list[ErrorDetails]]:
    try:
        return Settings(_cli_parse_args=flags, _env_file=file), []
    except ValidationError as error:
        return None, error.errors()


def _unknown_names(file: Path) -> list[str]:
    """Names in the file that are no setting; pydantic would pass over a setting's name without the prefix."""
    names = (name.upper() for name in DotEnvSettingsSource(Settings, env_file=file).env_vars)
    return [name for name in names if name not in _variables()]


def _explain(fault: ErrorDetails, file: Path | None) -> str:
    """A sentence for one fault; `file` is where it stands, None for the environment and flags."""
    message = fault["msg"].removeprefix("Value error, ").rstrip(".")
    if not fault["loc"]:  # of several settings together, which the message names
        return f"{message}."
    field = str(fault["loc"][0])
    known = Settings.model_fields.get(field)
    hint = "" if known is None else f" It is: {known.description}"
    shown = "not shown" if field == "api_keys" else repr(fault["input"])  # someone may have set a key itself
    name = PREFIX + field.upper()
    where = f"{name} ({flag(field)})" if file is None else f"{file}: {name}"
    return f"{where} is {shown}: {message}.{hint}"


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable with the prefix that is no setting, naming the nearest that is."""
    return [
        f"{name} is no setting and has no effect. {_hint(name.upper())}"
        for name in sorted(environment)
        if name.upper().startswith(PREFIX) and name.upper() not in _variables()
    ]


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, _variables(), n=1)
    return f"Did you mean {near[0]}?" if near else f"{PROGRAM} --help lists them all."


def _variables() -> list[str]:
    return [PREFIX + name.upper() for name in Settings.model_fields]
