"""Choose the sample pairs from a folder of emoji: `python samples/make_samples.py SOURCE`.

SOURCE holds `emoji.csv` (image, hexcode, name, category, subcategory, label_en, label_fr, …) and `images/`.
The same source gives the same files. The project does not need SOURCE to run: what this writes is committed.
Needs Pillow, to tell pictures apart by what is seen rather than by their bytes.
"""

import csv
import hashlib
import re
import shutil
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
CATEGORIES = (
    "Animals & Nature",
    "Flags",
    "Food & Drink",
    "Objects",
    "Smileys & Emotion",
    "Travel & Places",
)
PER_CATEGORY = 36  # 6 x 36 = 216 pairs
NUM_VAL, NUM_TEST = 5, 6  # of each category; the other 25 train
# Always taken, so that the shipped fashion model has something to look at in the README's examples.
CLOTHES = ("dress", "handbag", "jeans", "necktie", "running shoe", "sunglasses", "t-shirt", "watch")
COLUMNS = ("id", "image", "name_en", "name_fr", "category", "subcategory", "split")

Row = dict[str, str]


def main(source: Path) -> None:
    """Write `emoji.csv` and `images/` beside this file."""
    with (source / "emoji.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if usable(row)]
    images = HERE / "images"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir()
    seen: set[str] = set()
    chosen: list[Row] = []
    for category in CATEGORIES:
        group = [row for row in rows if row["category"] == category]
        chosen += split(take(group, source, seen), category)
    for row in chosen:
        target = f"images/{slug(row['label_en'])}.png"
        shutil.copyfile(source / row["image"], HERE / target)
        row |= {"id": row["hexcode"].lower(), "image": target, "name_en": row["label_en"], "name_fr": row["label_fr"]}
    with (HERE / "emoji.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(chosen, key=lambda row: (row["category"], row["id"])))


def usable(row: Row) -> bool:
    """Whether the row is no skin-tone variant and has both names."""
    tones = {f"1F3F{digit}" for digit in "BCDEF"}
    return not tones & set(row["hexcode"].split("-")) and bool(row["label_en"] and row["label_fr"])


def take(group: list[Row], source: Path, seen: set[str]) -> list[Row]:
    """PER_CATEGORY rows of one category, a subcategory at a time in turn, no picture or file name twice."""
    taken: list[Row] = []
    for row in turns(group):
        keys = {slug(row["label_en"]), picture(source / row["image"])}
        if not keys & seen:
            seen |= keys
            taken.append(row)
        if len(taken) == PER_CATEGORY:
            return taken
    raise SystemExit(f"only {len(taken)} different pictures in {group[0]['category']!r}; {PER_CATEGORY} are wanted")


def turns(group: list[Row]) -> Iterator[Row]:
    """The clothes first, then one row of each subcategory in turn until none is left."""
    queues: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(group, key=lambda row: digest(row["hexcode"])):
        if row["label_en"] in CLOTHES:
            yield row
        else:
            queues[row["subcategory"]].append(row)
    while any(queues.values()):
        for name in sorted(queues):
            if queues[name]:
                yield queues[name].pop(0)


def split(rows: list[Row], category: str) -> list[Row]:
    """Mark the rows of one category val, test or train, in an order that only their code points decide."""
    for place, row in enumerate(sorted(rows, key=lambda row: digest(category + row["hexcode"]))):
        row["split"] = "val" if place < NUM_VAL else "test" if place < NUM_VAL + NUM_TEST else "train"
    return rows


def picture(path: Path) -> str:
    """A digest of what is seen on white; several flags differ in name only."""
    with Image.open(path) as image:
        rgba = image.convert("RGBA")
    canvas = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return hashlib.sha256(Image.alpha_composite(canvas, rgba).tobytes()).hexdigest()


def slug(name: str) -> str:
    """A file name from a name: `high-heeled shoe` is `high-heeled-shoe`."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")


def digest(text: str) -> str:
    """A fixed, arbitrary order."""
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python samples/make_samples.py SOURCE")
    main(Path(sys.argv[1]))
