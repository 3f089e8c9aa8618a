"""What a manifest's columns hold: how many cells, of what kind, how many different ones.

Counts and measures; guesses nothing of what a column means (`training.drafting.roles` does)."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from models.rows import Row

GAPS = ("nan", "NaN", "NULL", "null", "<NA>", "#N/A", "\\N")
"""Written by programs (pandas, SQL, Excel) for a cell that has no value."""

MAYBE_GAPS = ("NA", "N/A", "n/a", "None", "none", "-", "?")
"""Written by people for the same, but a label or a text may be called so too."""

SAMPLE_CELLS = 500

T = TypeVar("T")

_CJK = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
_WORD = re.compile(rf"{_CJK}|[^\W_]+", re.UNICODE)


@dataclass(frozen=True)
class Column:
    """One column. `cells` are those that have a value, in the order of the rows."""

    name: str
    num_rows: int
    cells: Sequence[Any]

    @cached_property
    def strings(self) -> list[str]:
        """Every cell as text; of a list, every part."""
        parts = (part for cell in self.cells for part in (cell if isinstance(cell, list) else [cell]))
        return [str(part) for part in parts if part is not None]

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value occurs."""
        return Counter(str(cell) for cell in self.cells)

    @cached_property
    def kind(self) -> str:
        """`list`, `number`, `string`, or `other`: what is neither of them in JSON, say a date of Parquet."""
        if any(isinstance(cell, list) for cell in self.cells):
            return "list"
        if not all(isinstance(cell, str | int | float) for cell in self.cells):
            return "other"
        return "number" if self.numbers else "string"

    @cached_property
    def numbers(self) -> list[float]:
        """All cells as numbers, leaving out MAYBE_GAPS; empty if one cell is no number."""
        numbers = []
        for cell, count in self.counts.items():
            if cell in MAYBE_GAPS:
                continue
            number = _number(cell)
            if number is None:
                return []
            numbers += [number] * count
        return numbers

    @cached_property
    def readings(self) -> list[Any]:
        """All cells, where all are readings: lists, or objects of channels, of CSV as JSON; else none."""
        found = []
        for cell in self.cells:
            value = _parsed(cell)
            if not _num_steps(value):
                return []
            found.append(value)
        return found

    @cached_property
    def steps(self) -> int:
        """Of the longest of the readings; 0 where it has none."""
        return max(map(_num_steps, self.readings), default=0)

    @property
    def is_integral(self) -> bool:
        """All numbers are whole, and small enough to stand for labels rather than for years or ids."""
        return bool(self.numbers) and all(number.is_integer() and abs(number) <= 1_000 for number in self.numbers)

    @property
    def num_distinct(self) -> int:
        """Different values."""
        return len(self.counts)

    @property
    def sample(self) -> list[str]:
        """Up to SAMPLE_CELLS texts, spread evenly."""
        return spread(self.strings, SAMPLE_CELLS)

    @cached_property
    def prose(self) -> float:
        """Share of the texts that have two words or more. An ideograph is a word, for no spaces part them."""
        return _share(len(cell.split()) > 1 or len(re.findall(_CJK, cell)) > 1 for cell in self.sample)

    @cached_property
    def mean_words(self) -> float:
        """Words in a text, on average."""
        sample = self.sample
        return sum(len(_WORD.findall(cell)) for cell in sample) / max(1, len(sample))

    @cached_property
    def links(self) -> float:
        """Share of the texts that are a URL and nothing else."""
        return _share(bool(re.fullmatch(r"(https?|ftp|s3|gs)://\S+", cell.strip())) for cell in self.sample)

    @property
    def longest(self) -> int:
        """Characters of the longest text in the sample."""
        return max(map(len, self.sample), default=0)


def look_at(rows: Sequence[tuple[int, Row]]) -> dict[str, Column]:
    """The columns in their order. A cell that is empty, NaN, or one of GAPS has no value."""
    names = dict.fromkeys(name for _, row in rows for name in row)
    return {
        name: Column(
            name, len(rows), [cell for _, row in rows if (cell := row.get(name)) is not None and _has(cell)]
        )
        for name in names
    }


def gaps_seen(rows: Iterable[tuple[int, Row]], markers: Sequence[str]) -> dict[str, Counter[str]]:
    """For each marker that occurs, in which columns, and how often."""
    seen: dict[str, Counter[str]] = {}
    for _, row in rows:
        for name, cell in row.items():
            if isinstance(cell, str) and (marker := cell.strip()) in markers:
                seen.setdefault(marker, Counter())[name] += 1
    return seen


def spread(values: Sequence[T], count: int) -> list[T]:
    """At most `count` of the values, evenly from first to last."""
    return list(values) if len(values) <= count else [values[i * len(values) // count] for i in range(count)]


def words(texts: Iterable[str]) -> Iterator[str]:
    """The words of all texts, in lower case."""
    return (word.lower() for text in texts for word in _WORD.findall(text))


def commonest(counts: Mapping[str, int], count: int = 3) -> str:
    """The most frequent values for a comment, on one line."""
    ordered = sorted(counts, key=lambda value: -counts[value])
    shown = ", ".join(shorten(value) for value in ordered[:count])
    return shown + (", …" if len(ordered) > count else "")


def shorten(text: str, length: int = 40) -> str:
    """One line of at most `length` characters, for a comment."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= length else line[: length - 1] + "…"


def _has(cell: Any) -> bool:
    if isinstance(cell, float):
        return not math.isnan(cell)
    if isinstance(cell, list):
        return any(part is not None and str(part).strip() for part in cell)
    return not isinstance(cell, str) or ((text := cell.strip()) != "" and text not in GAPS)


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def _parsed(cell: Any) -> Any:
    """A list or an object that a cell of CSV has as JSON; any other cell as it is."""
    if not isinstance(cell, str) or not cell.lstrip().startswith(("[", "{")):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _num_steps(cell: Any) -> int:
    """Steps of readings: a list of numbers and gaps, or the longest channel of an object; 0 for anything else."""
    if isinstance(cell, Mapping):
        return max((_num_steps(part if isinstance(part, list) else [part]) for part in cell.values()), default=0)
    parts = cell if isinstance(cell, list) else []
    is_number = [isinstance(part, int | float) and not isinstance(part, bool) for part in parts]
    known = [part for part, number in zip(parts, is_number, strict=True) if not number and part is not None]
    return len(parts) if any(is_number) and not known else 0


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / max(1, len(found))
