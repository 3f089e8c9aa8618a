"""Write the manifest of spoken commands: `python recipes/spoken_commands.py FOLDER OUT.csv --fold 0`.

Google's Speech Commands has a folder for each word, and files named `<speaker>_nohash_<index>.wav`. Speakers are
dealt into five folds, so that a speaker's recordings are all in one: fold K is the test split, the next one
validation."""

import argparse
import csv
from collections import Counter
from pathlib import Path

NUM_FOLDS = 5


def folds(paths: list[Path]) -> dict[str, int]:
    """The fold of each speaker: those with most recordings first, each to the smallest fold so far."""
    counts = Counter(speaker_of(path) for path in paths)
    sizes = [0] * NUM_FOLDS
    found = {}
    for speaker, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        found[speaker] = sizes.index(min(sizes))
        sizes[found[speaker]] += count
    return found


def speaker_of(path: Path) -> str:
    """The name before `_nohash_`."""
    return path.stem.partition("_nohash_")[0]


def main() -> None:
    """Write one row a recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", type=int, default=0, choices=range(NUM_FOLDS))
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*/*_nohash_*.wav"))
    fold_of = folds(paths)
    splits = {options.fold: "test", (options.fold + 1) % NUM_FOLDS: "val"}
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "audio", "word", "speaker", "split"])
        for path in paths:
            speaker = speaker_of(path)
            name = f"{path.parent.name}_{path.stem}"
            writer.writerow(
                [name, path.resolve(), path.parent.name, speaker, splits.get(fold_of[speaker], "train")]
            )


if __name__ == "__main__":
    main()
