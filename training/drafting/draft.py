"""A recipe drafted from a manifest: what is in the columns, what suits so many rows, and why, as comments."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from models.decode_audio import AudioLimits
from models.errors import ManifestError
from models.manifest import SPLITS
from models.rows import Row, read_rows
from training.data.tokenizer import train_tokenizer
from training.drafting import names
from training.drafting.carving import Carve, find_carve
from training.drafting.guess import Guess
from training.drafting.imagefiles import file_keys, image_sizes
from training.drafting.roles import guess_roles
from training.drafting.sizing import Facts, Sizes, choose_sizes, estimate_seconds
from training.drafting.soundfiles import Sound, rate_of, sounds
from training.drafting.survey import GAPS, MAYBE_GAPS, Column, gaps_seen, look_at, spread, words

TOKENIZED = 20_000
"""Texts that are split into subwords, to see how long they get."""

RECORDING_LIMITS = AudioLimits()
"""As training has them."""

MAX_STEPS = 64
"""Of a window of readings that is drafted; the newest."""

SQUARE = 1.15  # longer side to shorter: up to here, squashing to a square is hardly seen
ONE_SHAPE = 1.1  # widest to narrowest: up to here, all images are distorted alike


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSizes:
    """Subwords to learn, and how many of a text are read; mean and long (99 in 100 texts) are lengths seen."""

    vocab_size: int
    max_tokens: int
    mean: float
    long: int


class Gaps(NamedTuple):
    """Markers of cells without a value, besides "". kept: what looks like one, and is an ordinary value."""

    missing: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All that the recipe is written from.

    resize: with its reason. mirror_fault: why mirroring would be wrong; empty if it would not.
    """

    path: Path
    columns: dict[str, Column]
    guess: Guess
    carve: Carve
    facts: Facts
    sizes: Sizes
    resize: tuple[str, str]
    mirror_fault: str
    text: TextSizes | None
    gaps: Gaps
    sounds: Sequence[Sound] = ()

    @property
    def rate_hz(self) -> int:
        """What recordings are resampled to."""
        return rate_of(self.sounds)

    @property
    def can_learn(self) -> bool:
        """There are labels, targets or transcripts, or two modalities to tell pairs by."""
        heads = [name for role in ("labels", "targets", "transcript") for name in self.guess.names(role)]
        return bool(heads or (self.guess.names("image") and self.text))

    @property
    def steps(self) -> int:
        """Of a window of the sensors; 0 where there are none."""
        columns = [self.columns[name] for name in self.guess.names("sensors")]
        return max((min(MAX_STEPS, max(1, column.steps)) for column in columns), default=0)

    @property
    def minutes(self) -> int:
        """Estimate for two idle cores."""
        return math.ceil(estimate_seconds(self.facts, self.sizes) / 60)


def make_draft(path: Path) -> Draft:
    """Look at a manifest, and decide what its recipe says.

    Raises:
        ManifestError: it cannot be read; its images are not where its cells say; or nothing in it can be learnt.
    """
    rows = read_rows(path)
    columns = look_at(rows)
    guess = guess_roles(path, columns)
    _check_learnable(path, guess)
    texts = [text for name in guess.names("text") for text in columns[name].strings]
    image, audio = guess.name("image"), guess.name("audio")
    carve = _carve(path, rows, columns, guess)
    heard = sounds(path.parent, columns[audio]) if audio else []
    _warn(guess, columns, carve)
    _warn_of_long(guess, heard)
    sizes = image_sizes(path.parent, columns[image]) if image else []
    text = _text_sizes(texts) if texts else None
    fault = _mirror_fault(guess, columns, texts)
    facts = Facts(
        **{name: carve.count(name) for name in SPLITS},
        images=len(set(columns[image].strings)) if image else 0,
        image_sides=[min(size) for size in sizes],
        has_text=text is not None,
        mean_tokens=text.mean if text else 0,
        has_sensors=bool(guess.names("sensors")),
        has_audio=audio is not None,
        has_transcript=bool(guess.names("transcript")),
        has_labels=bool(guess.names("labels") or guess.names("targets")),
        may_mirror=bool(image) and not fault,
    )
    return Draft(
        path=path,
        columns=columns,
        guess=guess,
        carve=carve,
        facts=facts,
        sizes=choose_sizes(facts),
        resize=_resize(sizes),
        mirror_fault=fault,
        text=text,
        gaps=_gaps(rows, guess),
        sounds=heard,
    )


def _carve(path: Path, rows: Sequence[tuple[int, Row]], columns: Mapping[str, Column], guess: Guess) -> Carve:
    repeated = [name for name in guess.names("text") if columns[name].num_distinct < len(columns[name].cells)]
    files = [*guess.names("image"), *guess.names("audio")]
    return find_carve(
        rows,
        identity=guess.name("id"),
        split=guess.name("split"),
        group=[*guess.names("group"), *repeated],
        labels=guess.names("labels"),
        files={name: file_keys(path.parent, columns[name]) for name in files},
    )


def _gaps(rows: Sequence[tuple[int, Row]], guess: Guess) -> Gaps:
    used = {name for role in guess.roles.values() for name in role}
    numeric = {*guess.names("targets"), *guess.names("sensors"), *guess.names("image")}
    seen = {marker: set(found) & used for marker, found in gaps_seen(rows, [*GAPS, *MAYBE_GAPS]).items()}
    missing = [marker for marker, found in seen.items() if found and (marker in GAPS or found & numeric)]
    return Gaps(tuple(missing), tuple(marker for marker, found in seen.items() if found and marker not in missing))


def _check_learnable(path: Path, guess: Guess) -> None:
    has = [name for name in ("image", "text", "audio", "sensors") if guess.names(name)]
    heads = [name for role in ("labels", "targets", "transcript") for name in guess.names(role)]
    if has[:2] == ["image", "text"] or (has and heads):
        return
    found = "; ".join(f"{role}: {', '.join(guess.names(role))}" for role in guess.roles) or "nothing"
    why = "; ".join(f"{name}: {reason}" for name, reason in guess.left_out.items())
    raise ManifestError(
        [
            f"{path.name}: nothing here can be learnt. It takes a column of images, texts, recordings or "
            f"numbers, and labels that several rows share; or both images and texts; or recordings and what is "
            f"said in them. Found {found}." + (f" Left out: {why}." if why else ""),
            *guess.warnings,
        ]
    )


def _warn(guess: Guess, columns: Mapping[str, Column], carve: Carve) -> None:
    image = guess.name("image")
    if image and guess.names("targets") and not (carve.group or guess.names("split")):
        numbers = [re.findall(r"\d+", Path(cell).stem) for cell in columns[image].strings]
        last = [int(found[-1]) for found in numbers if found]
        steps = sum(0 < after - before <= 10 for before, after in pairwise(last))
        if steps * 2 > len(columns[image].cells):
            guess.warnings.append(
                "The images are numbered in order, as frames of a film are. Frames that follow one another are "
                "nearly equal, and carved at random they flatter every figure. Add a column that says which drive "
                "or which minute a frame is from, and name it in group."
            )
    for name in set(carve.dropped) & set(guess.names("group") if not guess.names("split") else []):
        guess.warnings.append(
            f"Rows with an equal {name!r} may be alike, but through equal images or texts they chain nearly all "
            "rows to one group. So they are not kept together, and figures may flatter. A column of splits helps."
        )
    for split in ("train", "val"):
        if not carve.count(split):
            guess.warnings.append(f"No rows are left for {split}. Add rows, or fill the column of splits.")


def _warn_of_long(guess: Guess, heard: Sequence[Sound]) -> None:
    limit = RECORDING_LIMITS.max_seconds
    if long := sum(sound.seconds > limit for sound in heard):
        guess.warnings.append(
            f"{long} of {len(heard)} recordings that were looked at are longer than {limit:g} seconds, which "
            "check refuses. Cut them."
        )


def _text_sizes(texts: Sequence[str]) -> TextSizes:
    some = spread(texts, TOKENIZED)
    total = sum(1 for _ in words(some)) * len(texts) / len(some)
    vocab_size = min(8_000, max(500, round(total / 20 / 100) * 100))
    tokenizer = train_tokenizer(some, vocab_size)
    lengths = sorted(len(encoding.ids) for encoding in tokenizer.encode_batch(list(some)))
    long = lengths[len(lengths) * 99 // 100]
    return TextSizes(
        vocab_size=vocab_size,
        max_tokens=min(128, max(8, math.ceil(1.2 * long / 8) * 8)),
        mean=sum(lengths) / len(lengths),
        long=long,
    )


def _resize(sizes: Sequence[tuple[int, int]]) -> tuple[str, str]:
    if not sizes:
        return "squash", ""
    shapes = sorted(width / height for width, height in sizes)
    low, high = shapes[len(shapes) // 20], shapes[len(shapes) * 19 // 20]
    width, height = sorted(sizes)[len(sizes) // 2]
    if max(high, 1 / low) <= SQUARE:
        return "squash", f"the images are nearly square, mostly {width} x {height}"
    if high / low <= ONE_SHAPE:
        return "squash", f"all of one shape, such as {width} x {height}, so distorted alike"
    return "pad", f"shapes differ, {low:.2g} to {high:.2g} times as wide as high: a white margin keeps them"


def _mirror_fault(guess: Guess, columns: Mapping[str, Column], texts: Sequence[str]) -> str:
    for name in (*guess.names("targets"), *guess.names("sensors")):
        if set(names.tokens(name)) & names.SIDED:
            return f"{name} would have to change its sign"
    for name in guess.names("labels"):
        labels = list(columns[name].counts)
        if any(names.LEFT_OR_RIGHT & set(words([label])) for label in labels):
            return f"{name} tells left from right"
        if all(len(label) == 1 for label in labels):
            return f"{name} may be written characters, which mirroring spoils"
    some = spread(texts, TOKENIZED)
    sided = sum(bool(names.LEFT_OR_RIGHT & set(words([text]))) for text in some)
    return f"{sided / len(some):.1%} of the texts say left or right" if sided * 200 >= len(some) > 0 else ""
