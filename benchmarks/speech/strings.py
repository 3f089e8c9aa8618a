"""Recordings of single words, and strings of them joined with pauses and light noise, the same for a seed.

# S samples"""

import io
import random
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes import spoken_digits

NUM_WORDS = (3, 8)
PAUSE_SECONDS = (0.05, 0.5)
NOISE_DB = 30.0
"""By how much a string is louder than the white noise that is added to all of it, its pauses too."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """One word by one speaker."""

    path: Path
    word: str
    label: str
    speaker: str


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A WAV file in memory, and what is said in it."""

    wav: bytes
    text: str


def recordings_of(rows: Sequence[dict[str, str]]) -> list[Recording]:
    """Of the rows of `recipes.spoken_digits`."""
    return [Recording(Path(row["audio"]), row["word"], row["digit"], row["speaker"]) for row in rows]


def read_digits(folder: Path) -> list[Recording]:
    """All recordings of a folder, in the order of their paths.

    Raises:
        SystemExit: there are none.
    """
    found = recordings_of(spoken_digits.rows(folder))
    if not found:
        raise SystemExit(f"{folder} has no recordings named <digit>_<speaker>_<index>.wav")
    return found


def join_strings(recordings: Sequence[Recording], count: int, seed: str) -> list[Spoken]:
    """`count` strings of three to eight recordings, all of one speaker, drawn by `seed`.

    recordings: of one speaker.
    """
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        chosen = rng.choices(recordings, k=rng.randint(*NUM_WORDS))
        pauses = [rng.uniform(*PAUSE_SECONDS) for _ in chosen[1:]]
        samples_S, rate_hz = joined([one.path for one in chosen], pauses, rng.getrandbits(32))
        found.append(Spoken(wav_of(samples_S, rate_hz), " ".join(one.word for one in chosen)))
    return found


def joined(paths: Sequence[Path], pauses: Sequence[float], seed: int) -> tuple[Floats, int]:
    """(S,) float32 and its rate: the recordings, so many seconds between them, and light noise over all."""
    parts, rate_hz = [], 0
    for number, path in enumerate(paths):
        samples_S, rate_hz = read_wav(path)
        if number:
            parts.append(np.zeros(round(pauses[number - 1] * rate_hz), np.float32))
        parts.append(samples_S)
    whole_S = np.concatenate(parts)
    deviation = float(np.sqrt(np.mean(np.square(whole_S)))) * 10 ** (-NOISE_DB / 20)
    noise_S = np.random.default_rng(seed).normal(0, deviation, len(whole_S))
    return (whole_S + noise_S).astype(np.float32), rate_hz


def read_wav(path: Path) -> tuple[Floats, int]:
    """Samples of a WAV of 16 bits and one channel, full scale 1, and its rate."""
    with wave.open(str(path)) as file:
        samples: NDArray[Any] = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return (samples / 32768).astype(np.float32), file.getframerate()


def wav_of(samples_S: Floats, rate_hz: int) -> bytes:
    """A WAV of 16 bits and one channel."""
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples_S, -1, 1) * 32767).astype("<i2").tobytes())
    return memory.getvalue()
