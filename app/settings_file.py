"""Which file of settings is read, before any setting is known. Knows nothing of what is in it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.errors import ConfigError

DEFAULT_FILE = Path("intermodal.env")
FILE_NAMES = "INTERMODAL_SETTINGS_FILE (--settings-file)"


def find_settings_file(flags: Sequence[str] | None, environment: Mapping[str, str]) -> Path:
    """The file that a flag names, else a variable, else DEFAULT_FILE, which alone may be missing.

    Raises:
        ConfigError: a named file that is not there, or a folder.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--settings-file")
    try:
        named = parser.parse_known_args(list(flags or []))[0].settings_file
    except argparse.ArgumentError:  # no value: the parser of all flags says so
        named = None
    named = named or environment.get("INTERMODAL_SETTINGS_FILE")
    if named and not Path(named).exists():
        raise ConfigError(
            f"{FILE_NAMES} is {named!r}, which is not there. Make it: python -m app doctor --out {named}"
        )
    file = Path(named) if named else DEFAULT_FILE
    if file.is_dir():  # as Docker makes of a file to mount that is not there
        raise ConfigError(f"{FILE_NAMES} is {str(file)!r}, which is a folder. Put a file there, or none.")
    return file
