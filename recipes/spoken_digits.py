"""Write the manifest of the Free Spoken Digit Dataset: `python recipes/spoken_digits.py RECORDINGS OUT.csv`.

A file's name is `<digit>_<speaker>_<index>.wav`. With `--test SPEAKER`, all that this speaker says is the test
split; of the others, the recordings of index 0 to 4 are for validation: it says how well known voices are
understood."""

import argparse
import csv
from pathlib import Path

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VALIDATION_INDICES = range(5)


def rows(recordings: Path, test: str = "") -> list[dict[str, str]]:
    """One a recording, in the order of their paths; all of speaker `test` are the test split."""
    found = []
    for path in sorted(recordings.rglob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        split = "val" if int(index) in VALIDATION_INDICES else "train"
        found.append(
            {
                "id": path.stem,
                "audio": str(path.resolve()),
                "digit": digit,
                "word": WORDS[int(digit)],
                "speaker": speaker,
                "split": "test" if speaker == test else split,
            }
        )
    return found


def main() -> None:
    """Write one row a recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--test", default="", help="a speaker; none by default")
    options = parser.parse_args()
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "audio", "digit", "word", "speaker", "split"])
        writer.writeheader()
        writer.writerows(rows(options.recordings, options.test))


if __name__ == "__main__":
    main()
