"""Write the manifest of Speech Commands: `python recipes/spoken_commands.py FOLDER OUT.csv --fold 0`.

A file is `<word>/<speaker>_nohash_<index>.wav`. The speakers are dealt into ten parts, so that each part has about
as many recordings of each word as the others. Fold K's test split is two of them, its validation split the next
one: no voice is in two splits, and of the five folds each recording is tested in one."""

import argparse
import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

NUM_FOLDS = 5
NUM_PARTS = 2 * NUM_FOLDS


def speaker_of(path: Path) -> str:
    """Who speaks: the name before `_nohash_`."""
    return path.stem.split("_nohash_")[0]


def deal(recordings: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Speaker → part, of (word, speaker) pairs: who says most is dealt first, to where their words lack most."""
    words: dict[str, Counter[str]] = {}
    for word, speaker in recordings:
        words.setdefault(speaker, Counter())[word] += 1
    parts: list[Counter[str]] = [Counter() for _ in range(NUM_PARTS)]
    dealt = {}
    for speaker in sorted(words, key=lambda name: (-words[name].total(), name)):
        own = words[speaker]

        def cost(number: int, own: Counter[str] = own) -> tuple[int, int]:
            # Growth of the sums of squares, of all recordings and of each word's: least where both lie even.
            part = parts[number]
            of_words = sum(count * (2 * part[word] + count) for word, count in own.items())
            return own.total() * (2 * part.total() + own.total()) + 10 * of_words, number

        dealt[speaker] = min(range(NUM_PARTS), key=cost)
        parts[dealt[speaker]] += own
    return dealt


def split_of(part: int, fold: int) -> str:
    """The split that a part is in."""
    first = 2 * fold
    if part in (first, first + 1):
        return "test"
    return "val" if part == (first + 2) % NUM_PARTS else "train"


def rows(folder: Path, fold: int) -> list[dict[str, str]]:
    """One a recording, in the order of their paths."""
    paths = sorted(folder.glob("*/*_nohash_*.wav"))
    parts = deal((path.parent.name, speaker_of(path)) for path in paths)
    return [
        {
            "id": f"{path.parent.name}_{path.stem}",
            "audio": str(path.resolve()),
            "word": path.parent.name,
            "speaker": speaker_of(path),
            "split": split_of(parts[speaker_of(path)], fold),
        }
        for path in paths
    ]


def main() -> None:
    """Write one row a recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", type=int, default=0, choices=range(NUM_FOLDS))
    options = parser.parse_args()
    found = rows(options.folder, options.fold)
    if not found:
        parser.error(f"{options.folder} has no <word>/<speaker>_nohash_<index>.wav")
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)


if __name__ == "__main__":
    main()
