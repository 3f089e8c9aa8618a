"""Write the manifest of the Free Spoken Digit Dataset: `python recipes/spoken_digits.py RECORDINGS OUT.csv`.

A file's name is `<digit>_<speaker>_<index>.wav`. With `--test SPEAKER`, all that this speaker says is the test
split; with `--test known`, the recordings of index 5 to 9 of each. Those of index 0 to 4 are for validation: it
says how well known voices are understood. With `--more FOLDER`, digits of Speech Commands
(`<word>/<speaker>_nohash_<index>.wav`) are more voices to learn from."""

import argparse
import csv
from pathlib import Path

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VALIDATION_INDICES = range(5)
TEST_INDICES = range(5, 10)
KNOWN = "known"


def rows(recordings: Path, test: str = "") -> list[dict[str, str]]:
    """One a recording, in the order of their paths. `test` names a speaker, or KNOWN for some of all of them."""
    found = []
    for path in sorted(recordings.rglob("*.wav")):
        said, speaker, index = path.stem.split("_")
        split = "val" if int(index) in VALIDATION_INDICES else "train"
        if speaker == test or (test == KNOWN and int(index) in TEST_INDICES):
            split = "test"
        found.append(_row(path.stem, path, int(said), speaker, split))
    return found


def more_rows(folder: Path) -> list[dict[str, str]]:
    """The digits of Speech Commands, all to learn from."""
    return [
        _row(f"{word}_{path.stem}", path, digit, path.stem.split("_nohash_")[0], "train")
        for digit, word in enumerate(WORDS)
        for path in sorted(folder.glob(f"{word}/*_nohash_*.wav"))
    ]


def _row(name: str, path: Path, digit: int, speaker: str, split: str) -> dict[str, str]:
    return {
        "id": name,
        "audio": str(path.resolve()),
        "digit": str(digit),
        "word": WORDS[digit],
        "speaker": speaker,
        "split": split,
    }


def main() -> None:
    """Write one row a recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--test", default="", help="a speaker, or known; none by default")
    parser.add_argument("--more", type=Path, help="a folder of Speech Commands, whose digits are learnt from too")
    options = parser.parse_args()
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "audio", "digit", "word", "speaker", "split"])
        writer.writeheader()
        writer.writerows(rows(options.recordings, options.test))
        writer.writerows([] if options.more is None else more_rows(options.more))


if __name__ == "__main__":
    main()
