"""Whether a column's cells lead to recordings, and how long and how fine those are, from their headers."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models.rows import AUDIO_ENDINGS
from training.drafting.imagefiles import exists
from training.drafting.survey import Column, spread

LOOKED_AT = 200
"""Cells of a column whose files are looked for, and recordings whose headers are read."""


class Sound(NamedTuple):
    """Of one recording, from its header."""

    seconds: float
    rate_hz: int


def looks_like_sound(column: Column) -> bool:
    """The cells end as recordings do, though none may be there."""
    sample = column.sample
    hits = sum(cell.lower().endswith(AUDIO_ENDINGS) for cell in sample)
    return bool(sample) and hits * 2 >= len(sample)


def share_there(root: Path, column: Column) -> float:
    """The share of the cells that lead to a file below `root`, as they stand."""
    cells = spread(column.strings, LOOKED_AT)
    return sum(exists(root, cell) for cell in cells) / max(1, len(cells))


def sounds(root: Path, column: Column) -> list[Sound]:
    """Up to LOOKED_AT recordings; those that cannot be read are left to `check`."""
    import soundfile

    found = []
    for cell in spread(column.strings, LOOKED_AT):
        if not exists(root, cell):
            continue
        try:
            header = soundfile.info(str(root / cell))
        except soundfile.LibsndfileError:
            continue
        found.append(Sound(header.duration, header.samplerate))
    return found


def rate_of(found: Sequence[Sound]) -> int:
    """The rate to hear them at: 8,000 Hz for recordings of a telephone, and 16,000 for all others."""
    rates = sorted(sound.rate_hz for sound in found)
    return 8_000 if rates and rates[len(rates) // 2] < 16_000 else 16_000
