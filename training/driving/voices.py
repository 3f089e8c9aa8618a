"""Recordings of commands, as Speech Commands has them (`<word>/<speaker>_nohash_<n>.wav`), split by speaker.

No voice is in two splits, so that what is measured on test is said by people whom training has never heard."""

from collections import Counter
from pathlib import Path

from models.errors import ConfigError
from training.driving.commands import COMMANDS

NUM_PARTS = 5
"""Speakers are dealt into so many parts: fold K tests on part K, validates on the next, learns from the rest."""

Voices = dict[str, dict[str, list[Path]]]
"""Split → word → recordings, in the order of their paths."""


def speaker_of(path: Path) -> str:
    """Who speaks: the name before `_nohash_`."""
    return path.stem.split("_nohash_")[0]


def deal(recordings: list[Path]) -> dict[str, int]:
    """Speaker → part. Who says most is dealt first, to the part where their words and all words lack most."""
    words: dict[str, Counter[str]] = {}
    for path in recordings:
        words.setdefault(speaker_of(path), Counter())[path.parent.name] += 1
    parts: list[Counter[str]] = [Counter() for _ in range(NUM_PARTS)]
    dealt: dict[str, int] = {}
    for speaker in sorted(words, key=lambda name: (-words[name].total(), name)):
        own = words[speaker]

        def cost(number: int, own: Counter[str] = own) -> tuple[int, int]:
            # By how much the sums of squares grow, which are least where all parts are alike.
            part = parts[number]
            of_words = sum(count * (2 * part[word] + count) for word, count in own.items())
            return own.total() * (2 * part.total() + own.total()) + 5 * of_words, number

        dealt[speaker] = min(range(NUM_PARTS), key=cost)
        parts[dealt[speaker]] += own
    return dealt


def read_voices(folder: Path, fold: int = 0) -> Voices:
    """The recordings of the commands' words, by split.

    Raises:
        ConfigError: no such fold, no such recordings, or a word without one in some split.
    """
    if not 0 <= fold < NUM_PARTS:
        raise ConfigError(f"--fold: must be from 0 to {NUM_PARTS - 1}.")
    recordings = [path for word in COMMANDS for path in sorted(folder.glob(f"{word}/*_nohash_*.wav"))]
    parts = deal(recordings)
    voices: Voices = {split: {word: [] for word in COMMANDS} for split in ("train", "val", "test")}
    for path in recordings:
        place = (parts[speaker_of(path)] - fold) % NUM_PARTS
        split = {0: "test", 1: "val"}.get(place, "train")
        voices[split][path.parent.name].append(path)
    lacking = [
        f"{word} ({split})" for split, words in voices.items() for word, found in words.items() if not found
    ]
    if lacking:
        raise ConfigError(
            f"--voices {folder}: no recordings <word>/<speaker>_nohash_<n>.wav of {', '.join(lacking)}. "
            "Give a folder of Speech Commands with speakers enough, or leave it out."
        )
    return voices
