"""What was measured, for people: aligned tables, and the file of settings with the figures beside them."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.doctor.rounds import medians
from app.doctor.tuning import BatchFigures, Tuning
from app.settings import PREFIX, Settings
from models.errors import ConfigError

MARK = "# Written by python -m app doctor, which may write it anew. Settings of your own belong elsewhere."
TUNED = (
    "num_threads",
    "num_workers",
    "max_batch_items",
    "max_batch_pixels",
    "max_batch_tokens",
    "max_batch_frames",
    "max_batch_readings",
    "max_batch_wait_ms",
)
"""The settings that the file may have."""


def tables(tuning: Tuning) -> list[str]:
    """Lines: each pair of threads and workers, then each size of batch, and what was chosen and why."""
    lines = [*pair_table(tuning), f"Threads x workers: {tuning.choice.pair}; {tuning.choice.reason}."]
    for kind, figures in tuning.batches.items():
        lines += ["", *batch_table(kind, figures)]
        lines.append(f"Batches of {kind}: {figures.choice.size}; {figures.choice.reason}.")
    wait = tuning.settings.get("max_batch_wait_ms", 0)
    kind, figures = next(iter(tuning.batches.items()))
    told = f"Batches of {kind} give {figures.choice.gain:.2f} times the items a second of single ones"
    lines.append(f"{told}: {f'wait {wait} ms for more' if wait else 'to wait for more does not pay here'}.")
    return lines


def pair_table(tuning: Tuning) -> list[str]:
    """A row for each pair."""
    rows = [["threads", "workers", "items/s", "rounds differ", "one request, ms", ""]]
    for pair, found in tuning.pairs.rates.items():
        rate, spread = medians(found)
        alone, _ = medians(tuning.pairs.seconds_alone[pair.threads])
        chosen = "chosen" if pair == tuning.choice.pair else ""
        rows.append(
            [
                str(pair.threads),
                str(pair.workers),
                f"{rate:.1f}",
                f"{spread:.0%}" if len(found) > 1 else "dropped",
                f"{1000 * alone:.1f}",
                chosen,
            ]
        )
    return _aligned(rows)


def batch_table(kind: str, figures: BatchFigures) -> list[str]:
    """A row for each size."""
    rows = [[f"{kind} at once", "items/s", "rounds differ", ""]]
    for size, found in sorted(figures.rates.items()):
        rate, spread = medians(found)
        rows.append([str(size), f"{rate:.1f}", f"{spread:.0%}", "chosen" if size == figures.choice.size else ""])
    lines = _aligned(rows)
    if figures.largest is not None:
        lines.append(f"The largest batch that fits: {figures.largest}; half of it is used at most.")
    return lines


def settings_file(tuning: Tuning, about: Mapping[str, str], arguments: Sequence[str]) -> str:
    """The text of the file: where it is from, the tables as comments, the settings."""
    comments = [
        f"date: {datetime.now(UTC).isoformat(timespec='seconds')}",
        *(f"{name}: {value}" for name, value in about.items()),
        f"command: {shlex.join(['python', '-m', 'app', 'doctor', *arguments])}",
        "",
        *tables(tuning),
    ]
    values = []
    for name in TUNED:
        default = Settings.model_fields[name].default
        value = tuning.settings.get(name)
        variable = PREFIX + name.upper()
        values.append(f"{variable}={value}" if value is not None else f"# {variable}={default}  (the default)")
    return "\n".join([MARK, *(f"# {line}".rstrip() for line in comments), "", *values, ""])


def check_target(out: Path, *, force: bool) -> None:
    """Make sure that the file may be written, before anything is measured.

    Raises:
        ConfigError: it is somebody else's, or its folder is not there.
    """
    if not out.parent.is_dir():
        raise ConfigError(f"--out is {str(out)!r}, and there is no folder {str(out.parent)!r}. Make it.")
    if not out.exists():
        return
    if not out.is_file():
        raise ConfigError(f"--out is {str(out)!r}, which is no file. Name another.")
    lines = out.read_text(encoding="utf-8", errors="replace").splitlines()
    known = [f"{PREFIX}{name.upper()}=" for name in TUNED]
    strange = [line for line in lines if line.strip() and not line.startswith(("#", *known))]
    if force or (lines[:1] == [MARK] and not strange):
        return
    why = "which has settings of somebody else's" if lines[:1] == [MARK] else "which this command did not write"
    raise ConfigError(f"--out is {str(out)!r}, {why}. Name another file, or lose it with --force.")


def write(out: Path, text: str) -> None:
    """Replace the file whole.

    Raises:
        ConfigError: it cannot be written.
    """
    half = out.with_name(f".{out.name}.half")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(out)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise ConfigError(f"--out is {str(out)!r}, which cannot be written: {error.strerror}.") from None


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Numbers to the right, under their heads; the last column, of words, to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]
