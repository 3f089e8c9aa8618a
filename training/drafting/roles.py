"""Which column of a manifest is what, guessed from names and cells. Each guess says what was seen."""

from collections.abc import Callable
from pathlib import Path

from models.errors import ManifestError
from models.manifest import SPLIT_ALIASES, SPLITS
from training.drafting import names
from training.drafting.guess import Guess
from training.drafting.imagefiles import Fit, find_fit, looks_like_image
from training.drafting.names import tokens
from training.drafting.soundfiles import looks_like_sound, share_there
from training.drafting.survey import MAYBE_GAPS, Column, commonest, shorten

MIN_LABEL_ROWS = 5
"""Rows that at least two labels of a head need."""

MIN_ROWS_A_LABEL = 8
"""On average; with fewer, a column names things rather than sorts them."""

MAX_HEADS = 12
MAX_METADATA = 12
LONGEST_METADATA = 200  # characters; the gallery answers with all of it for every match


def guess_roles(path: Path, columns: dict[str, Column]) -> Guess:
    """What each column is for.

    Raises:
        ManifestError: the images are there, but the cells must be written otherwise; or nothing could be learnt.
    """
    guess, left = Guess(), dict(columns)
    for name, column in columns.items():
        if not column.cells or name.startswith("Unnamed: "):
            guess.left_out[name] = "no cell has a value" if not column.cells else "a row number that pandas wrote"
            del left[name]
    steps: tuple[Callable[[Path, dict[str, Column], Guess], None], ...] = (
        _split, _image, _audio, _id, _speaker, _group, _readings, _said, _text, _labels, _numbers, _instruments,
        _metadata,
    )  # fmt: skip
    for step in steps:
        step(path, left, guess)
        for role in guess.roles.values():
            for name in role:
                left.pop(name, None)
        for name in guess.left_out:
            left.pop(name, None)
    return guess


def _split(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    for name, column in left.items():
        values = {SPLIT_ALIASES.get(value.strip().lower(), value.strip().lower()) for value in column.counts}
        if {"train"} < values <= set(SPLITS):
            guess.take("split", name, f"seen: {commonest(column.counts, 6)}")
            return
        if "train" in values and names.SPLIT & set(tokens(name)):
            guess.left_out[name] = f"a split may be train, val or test, and this has {commonest(column.counts, 6)}"


def _image(path: Path, left: dict[str, Column], guess: Guess) -> None:
    root = path.parent
    fits = {name: fit for name, column in left.items() if (fit := find_fit(root, column)) is not None}
    best = sorted((name for name, fit in fits.items() if fit.as_is), key=lambda name: -fits[name].share)
    if best:
        share = fits[best[0]].share
        seen = "every file that was looked for is there" if share == 1 else f"{share:.0%} of the files are there"
        guess.take("image", best[0], seen)
        guess.left_out.update(dict.fromkeys(best[1:], "more images; a row has one"))
        return
    if fits:
        name = min(fits, key=lambda name: (fits[name].only_name, -fits[name].share))
        raise ManifestError([_rewrite(path, name, fits[name])])
    for name, column in left.items():
        shown = shorten(column.sample[0], 60)
        if column.links >= 0.5 and (looks_like_image(column) or names.IMAGE & set(tokens(name))):
            guess.left_out[name] = "URLs; images must be files"
            guess.warnings.append(
                f"Column {name!r} holds URLs ({shown}), and images must be files. Download them, and write their "
                f"paths, relative to {path.name}, into a column. The recipe goes without images."
            )
        elif looks_like_image(column):
            raise ManifestError(
                [
                    f"{path.name}: column {name!r} names images, but few of them are there: {shown!r} was looked "
                    f"for beside the manifest and in the folders there. Paths are relative to the manifest. "
                    f"To go without images, remove the column."
                ]
            )


def _audio(path: Path, left: dict[str, Column], guess: Guess) -> None:
    named = [name for name, column in left.items() if looks_like_sound(column) and column.links < 0.5]
    found = sorted(((share_there(path.parent, left[name]), name) for name in named), key=lambda pair: -pair[0])
    if not found:
        return
    share, best = found[0]
    if share < 0.5:
        raise ManifestError(
            [
                f"{path.name}: column {best!r} names recordings, but few of them are there: "
                f"{shorten(left[best].sample[0], 60)!r} was looked for beside the manifest. Paths are relative to "
                "it. To go without recordings, remove the column."
            ]
        )
    seen = "every file that was looked for is there" if share == 1 else f"{share:.0%} of the files are there"
    guess.take("audio", best, seen)
    guess.left_out.update(dict.fromkeys(named, "more recordings; a row has one"))
    del guess.left_out[best]


def _speaker(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    """Who speaks: rows of one are alike, so the column is one of group too."""
    for name, column in left.items():
        repeats = 2 <= column.num_distinct < len(column.cells)
        if guess.names("audio") and repeats and set(tokens(name)) & names.SPEAKER:
            seen = f"{column.num_distinct:,} different ones; rows of one are alike"
            guess.take("speaker", name, seen)
            guess.take("group", name, seen)
            return


def _said(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    """What is said in the recordings: text of its own, and no label that many rows share."""
    for name, column in left.items():
        named = guess.names("audio") and set(tokens(name)) & names.SAID
        if named and column.kind == "string" and _is_text(name, column):
            guess.take("transcript", name, f"{column.mean_words:.1f} words on average")
            return


def _rewrite(path: Path, name: str, fit: Fit) -> str:
    cell, written = fit.example
    return (
        f"{path.name}: column {name!r} names images, but not by their paths from the manifest's folder. Write "
        f"{shorten(written, 80)!r} for {shorten(cell, 80)!r}, and so on: so {fit.share:.0%} of them are found."
    )


def _id(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    def rank(name: str) -> int:
        words = tokens(name)
        return 0 if words == ["id"] else 1 if words[-1:] == ["id"] else 2

    unique = [
        name
        for name, column in left.items()
        if column.num_distinct == column.num_rows
        and column.kind in ("string", "number")
        and column.longest <= 64
        and not any(" " in cell for cell in column.sample)
        and names.is_key(name)
    ]
    if unique:
        guess.take("id", min(unique, key=rank), "one of its own for each row")


def _group(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    for name, column in left.items():
        repeats = 2 <= column.num_distinct < len(column.cells)
        if repeats and names.is_group(name) and column.kind in ("string", "number"):
            guess.take("group", name, f"{column.num_distinct:,} different ones; rows of one are alike")


def _text(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    def rank(name: str) -> tuple[int, int]:
        words = set(tokens(name))
        return next((at for at, word in enumerate(names.TEXT) if word in words), len(names.TEXT)), order.index(
            name
        )

    order = list(left)
    likely = [name for name, column in left.items() if _is_text(name, column)]
    named = [name for name in likely if rank(name)[0] < len(names.TEXT) or names.has_language(name)]
    chosen = named or sorted(likely, key=lambda name: -left[name].mean_words)[:1]
    for name in sorted(chosen, key=rank):
        column = left[name]
        several = ", several captions a row" if column.kind == "list" else ""
        guess.take(
            "text", name, f"{column.mean_words:.1f} words on average, {column.num_distinct:,} different{several}"
        )
    for name in likely:
        if name not in chosen:
            guess.left_out[name] = "text too; add it to text if it describes the same thing"


def _is_text(name: str, column: Column) -> bool:
    if column.kind not in ("string", "list") or column.links >= 0.5 or set(tokens(name)) & names.PERSON:
        return False
    if column.num_distinct * 4 < len(column.cells) and column.num_distinct < 1_000:
        return False  # few texts, often repeated: labels of several words
    named = bool(set(tokens(name)) & set(names.TEXT)) or names.has_language(name)
    return column.prose >= (0.2 if named else 0.5) or (
        names.has_language(name) and column.num_distinct * 2 > len(column.cells)
    )


def _labels(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    found = [name for name, column in left.items() if _is_label(name, column)]
    found.sort(key=lambda name: not set(tokens(name)) & names.LABEL)  # stable: else as in the manifest
    for name in [name for name in left if name in found[:MAX_HEADS]]:
        column = left[name]
        guess.take("labels", name, f"{column.num_distinct:,} different: {commonest(column.counts)}")
    for name in found[MAX_HEADS:]:
        guess.left_out[name] = f"could be a label; {MAX_HEADS} heads are enough to begin with"
    for name, column in left.items():
        if name not in found and column.num_distinct == 1 and len(column.cells) == column.num_rows:
            guess.left_out[name] = f"the same in every row: {commonest(column.counts)}"


def _is_label(name: str, column: Column) -> bool:
    words = set(tokens(name))
    if column.kind in ("list", "other") or column.longest > 100 or column.links >= 0.5:
        return False
    if column.kind == "number" and not (
        column.is_integral
        and not words & names.SENSOR
        and column.num_distinct <= (200 if words & names.LABEL else 20)
    ):
        return False
    if words & names.PRIVATE or words & names.TIME:
        return False
    often = [count for count in column.counts.values() if count >= MIN_LABEL_ROWS]
    return len(often) >= 2 and column.num_distinct * MIN_ROWS_A_LABEL <= len(column.cells)


def _numbers(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    for name, column in left.items():
        words = tokens(name)
        if column.kind != "number" or not words or words[-1] in names.KEY or set(words) & names.TIME:
            continue
        low, high = min(column.numbers), max(column.numbers)
        gaps = [marker for marker in MAYBE_GAPS if marker in column.counts]
        seen = f"{low:g} to {high:g}, {column.num_distinct:,} different" + (
            f"; also {', '.join(gaps)}" if gaps else ""
        )
        if set(words) & names.TARGET and not set(words) & names.SENSOR and column.num_distinct > 2:
            guess.take("targets", name, seen)
        elif not set(words) & names.PRIVATE:
            guess.take("numbers", name, seen)


def _readings(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    """Columns of whole windows: an object of channels, or else lists of numbers."""
    objects = [name for name, column in left.items() if column.steps and not isinstance(column.readings[0], list)]
    for name in objects[:1] or [name for name, column in left.items() if column.steps]:
        column = left[name]
        what = "readings by channel" if name in objects else "readings"
        guess.take("sensors", name, f"{what}, at most {column.steps:,} step(s) of each")


def _instruments(_path: Path, _left: dict[str, Column], guess: Guess) -> None:
    """Of the numbers, those that an instrument measures; all of them where there is nothing else to look at.

    Where nothing is to be told, they tell nothing.
    """
    numbers, known = guess.roles.get("numbers", {}), guess.roles.get("sensors", {})
    if not (guess.names("labels") or guess.names("targets")):
        numbers |= known
        known.clear()
        return
    alone = not any(guess.names(role) for role in ("image", "text", "sensors"))
    if len(known) == 1 and "by channel" in next(iter(known.values())):
        return  # an object has all channels
    for name in [name for name in numbers if alone or set(tokens(name)) & names.PHYSICAL]:
        guess.take("sensors", name, numbers.pop(name))


def _metadata(_path: Path, left: dict[str, Column], guess: Guess) -> None:
    for name, column in left.items():
        if set(tokens(name)) & names.PRIVATE:
            guess.left_out[name] = "about a person: the gallery would show it to whoever asks"
        elif column.kind in ("list", "other"):
            guess.left_out[name] = "neither text, label, number nor image"
        elif column.longest > LONGEST_METADATA:
            guess.left_out[name] = "long"
        elif len(guess.names("metadata")) + len(guess.names("numbers")) >= MAX_METADATA:
            guess.left_out[name] = "one column of many"
        else:
            guess.take("metadata", name, f"{column.num_distinct:,} different: {commonest(column.counts, 2)}")
