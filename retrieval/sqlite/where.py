"""From a filter's tree to the rows that it lets through: those for which `retrieval.filter.predicate` holds.

Each condition is a lookup in `fields`; the tree joins their answers, as sets of rows."""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from retrieval.fields import digest, scalar
from retrieval.filter import Either, Every, Filter, Negation, Test
from retrieval.sqlite.row_index import Rows, among

_MAX_VALUES = 500  # in one statement
_WHOLE = range(-(2**63), 2**63)
_ORDERS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
_EMPTY = np.empty(0, np.int64)
_EVERYTHING = "SELECT row FROM items"
_PATH = "SELECT row FROM fields WHERE path = CAST(? AS TEXT)"


def rows_where(db: sqlite3.Connection, where: Filter) -> Rows:
    """The rows that a filter lets through, ascending."""
    match where:
        case Every(parts):
            return _every(db, parts)
        case Either(parts):
            return reduce(np.union1d, [rows_where(db, part) for part in parts], _EMPTY)
        case Negation(part):
            return without(_rows(db, _EVERYTHING), rows_where(db, part))
        case Test(field, operator, operand):
            path = _bytes(f"{field.root}.{field.path}")
            if operator == "ne":
                return rows_where(db, Negation(Test(field, "eq", operand)))
            if operator == "exists":
                there = _rows(db, _PATH, path)
                return there if operand else without(_rows(db, _EVERYTHING), there)
            if operator in _ORDERS:
                return _ordered(db, path, _ORDERS[operator], operand)
            return _equal(db, path, operand if operator == "in" else [operand])


def _every(db: sqlite3.Connection, parts: Sequence[Filter]) -> Rows:
    # What is ruled out is taken from what is left, so that few rows stay few.
    left: Rows | None = None
    for part in sorted(parts, key=lambda part: isinstance(part, Negation)):
        if left is not None and len(left) == 0:
            break
        if isinstance(part, Negation) and left is not None:
            left = without(left, rows_where(db, part.part))
        else:
            rows = rows_where(db, part)
            left = rows if left is None else left[among(left, rows)]
    return _rows(db, _EVERYTHING) if left is None else left


def without(rows: Rows, others: Rows) -> Rows:
    """The rows that are not among the others; both ascending."""
    return rows[~among(rows, others)]


def _equal(db: sqlite3.Connection, path: bytes, operands: Sequence[Any]) -> Rows:
    """Any of the operands equals what is at the path, or any part of a list there."""
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for operand in operands:
        kind, value = _operand(operand)
        if value is not None:
            by_kind[kind].append(value)
    found = _EMPTY
    for kind, values in by_kind.items():
        if kind == "0":  # absent, null, or a list with a null in it
            found = np.union1d(found, without(_rows(db, _EVERYTHING), _rows(db, _PATH, path)))
        mark = "CAST(? AS TEXT)" if kind == "s" else "?"
        for start in range(0, len(values), _MAX_VALUES):
            some = values[start : start + _MAX_VALUES]
            condition = f"AND kind = '{kind}' AND value IN ({', '.join([mark] * len(some))})"
            found = np.union1d(found, _rows(db, f"{_PATH} {condition}", path, *some))
    return found


def _ordered(db: sqlite3.Connection, path: bytes, sign: str, operand: Any) -> Rows:
    if isinstance(operand, str):
        return _rows(db, f"{_PATH} AND kind = 's' AND value {sign} CAST(? AS TEXT)", path, _bytes(operand))
    if isinstance(operand, float) and math.isnan(operand):
        return _EMPTY
    sign, value = _bound(sign, operand)
    return _rows(db, f"{_PATH} AND kind = 'n' AND value {sign} ?", path, value)


def _rows(db: sqlite3.Connection, sql: str, *parameters: Any) -> Rows:
    # As one text: a tuple for each row would take twice the time.
    (text,) = db.execute(f"SELECT group_concat(row) FROM ({sql})", parameters).fetchone()  # noqa: S608
    return _EMPTY if text is None else np.unique(np.fromstring(text, np.int64, sep=","))


def _operand(operand: Any) -> tuple[str, Any]:
    """Kind and value, as what equals it is kept; no value where nothing can be equal."""
    if isinstance(operand, list):
        return "w", digest(operand)
    kind, value = scalar(operand)
    match kind:
        case "n":
            return kind, _same_number(value)
        case "s":
            return kind, _bytes(operand)
        case _:
            return kind, value


def _same_number(value: Any) -> int | float | None:
    """The number as SQLite can hold it; None where it can hold no equal one."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if value in _WHOLE:
        return int(value)
    near = _near(value)
    return near if near == value else None


def _bound(sign: str, value: int | float) -> tuple[str, int | float]:
    """The same comparison with a number that SQLite can hold: no other one lies between the two."""
    if isinstance(value, float) or value in _WHOLE:
        return sign, value if isinstance(value, float) else int(value)
    near = _near(value)
    if near == value:
        return sign, near
    return (sign[0] + "=" if (near > value) == (sign[0] == ">") else sign[0]), near


def _near(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _bytes(text: str) -> bytes:
    # As bytes, cast back to text: a request may hold halves of surrogate pairs, which compare by code point too.
    return text.encode("utf-8", "surrogatepass")
