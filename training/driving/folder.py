"""The folder that `record` and `drive` write into: there before work begins; each file whole or not at all."""

from pathlib import Path

from models.errors import ConfigError


def make_folder(out: Path, *inner: str) -> None:
    """Make `--out`, and folders within.

    Raises:
        ConfigError: it cannot be, which is better said before an hour's drive than after it.
    """
    try:
        for name in ("", *inner):
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be a folder ({error.strerror}). Take another.") from None


def write(path: Path, content: str | bytes) -> None:
    """Whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content.encode() if isinstance(content, str) else content)
    beside.replace(path)
