"""Which columns can keep rows together, and what to carve, so that val and test get a fair share of the rows.

Columns that chain too many rows into one group (a text that everybody posts) are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from models.manifest import SPLIT_ALIASES, SPLITS, Record
from models.rows import Row
from models.splits import carve_splits
from training.drafting.survey import GAPS

MAX_SEEDS = 20
MANY_ROWS = 50_000
"""Above it, one seed is enough: so many groups are fair, or never will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carve:
    """What the recipe says of splits, and the rows that each split gets by it.

    group: the columns that are kept. dropped: those that would make the splits unfair. given: splits that the
    manifest names.
    """

    group: tuple[str, ...]
    dropped: tuple[str, ...]
    val: float
    test: float
    seed: int
    given: frozenset[str | None]
    splits: Sequence[str]

    def count(self, split: str) -> int:
        """Rows of a split."""
        return list(self.splits).count(split)


def find_carve(
    rows: Sequence[tuple[int, Row]],
    *,
    identity: str | None,
    split: str | None,
    group: Sequence[str],
    labels: Sequence[str],
    files: Mapping[str, Mapping[str, str]],
) -> Carve:
    """The first of some ways that is fair; with fewer and fewer of the group columns, the last one dropped first.

    Args:
        rows: all of them.
        identity: the column of ids.
        split: the column that gives splits; groups are left out then, for they would move rows between them.
        group: columns whose equal cells keep rows together, the most important first.
        labels: each must have two labels or more among the training rows.
        files: by column of images or recordings, what equal ones share, by cell; they are a group whatever the
            recipe says.
    """
    share = 0.15 if len(rows) < 500 else 0.1 if len(rows) < 5_000 else 0.08
    ways = [(share, share)] if split else [(share, share), (0.2, 0.2), (0.3, 0.3), (0.4, 0.0)]
    names = [str(row[identity]) if identity else str(number) for number, row in rows]
    equal = {
        name: [keys[cell] for column, keys in files.items() if (cell := str(row.get(column))) in keys]
        for name, (_, row) in zip(names, rows, strict=True)
    }
    kept = [()] if split else [tuple(group[:count]) for count in range(len(group), -1, -1)]
    for keep in kept:
        records = [_record(name, row, split, keep) for name, (_, row) in zip(names, rows, strict=True)]
        given = frozenset(record.split for record in records)
        dropped = tuple(name for name in group if name not in keep)
        for (val, test), seed in product(ways, range(1 if len(rows) > MANY_ROWS else MAX_SEEDS)):
            splits = carve_splits(records, equal, seed=seed, val=val, test=test)
            carve = Carve(group=keep, dropped=dropped, val=val, test=test, seed=seed, given=given, splits=splits)
            if _is_fair(carve, rows, labels):
                return carve
    return replace(carve, seed=0, splits=carve_splits(records, equal, seed=0, val=val, test=test))


def _record(name: str, row: Row, split: str | None, group: Sequence[str]) -> Record:
    given = str(row.get(split) or "").strip().lower() if split else ""
    return Record(
        row=0,
        id=name,
        split=(SPLIT_ALIASES.get(given, given) if given else None),
        groups=tuple(f"{column}={cell}" for column in group if _has(cell := row.get(column))),
    )


def _has(cell: Any) -> bool:
    return cell is not None and str(cell).strip() not in ("", *GAPS)


def _is_fair(carve: Carve, rows: Sequence[tuple[int, Row]], labels: Sequence[str]) -> bool:
    counts = {split: carve.count(split) for split in SPLITS}
    for split, share in (("val", carve.val), ("test", carve.test)):
        wanted = share * len(rows)
        if split not in carve.given and share and not 0.5 * wanted <= counts[split] <= 1.8 * wanted:
            return False
    if not counts["val"] or counts["train"] * 2 < len(rows) * (1 - carve.val - carve.test):
        return False
    train = [row for (_, row), split in zip(rows, carve.splits, strict=True) if split == "train"]
    return all(_distinct(train, name) >= 2 for name in labels)


def _distinct(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return len({str(row.get(name)) for row in rows if _has(row.get(name))})
