"""From a filter's tree to SQL that lets through what `retrieval.filter.predicate` does."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from retrieval.filter import Either, Every, Filter, Negation, Test
from retrieval.sqlite.fields import digest, scalar

MAX_PARAMETERS = 20_000
"""More than these and SQLite may refuse the statement: such a filter is left to `predicate`."""

_WHOLE = range(-(2**63), 2**63)
_ORDERS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
_NOTHING, _ALL = "0", "1"
_AT = "row IN (SELECT row FROM fields WHERE path = CAST(? AS TEXT)"


def translate(where: Filter) -> tuple[str, list[Any]] | None:
    """A condition on `items.row` with its parameters; None for a filter too large for a statement."""
    parameters: list[Any] = []
    sql = _translate(where, parameters)
    return (sql, parameters) if len(parameters) <= MAX_PARAMETERS else None


def _translate(where: Filter, parameters: list[Any]) -> str:
    match where:
        case Every(parts):
            return _join(" AND ", [_translate(part, parameters) for part in parts], _ALL)
        case Either(parts):
            return _join(" OR ", [_translate(part, parameters) for part in parts], _NOTHING)
        case Negation(part):
            return f"NOT {_translate(part, parameters)}"
        case Test():
            return _test(where, parameters)


def _join(word: str, parts: Sequence[str], nothing: str) -> str:
    return f"({word.join(parts)})" if parts else nothing


def _test(test: Test, parameters: list[Any]) -> str:
    path = _bytes(f"{test.field.root}.{test.field.path}")
    match test.operator:
        case "exists":
            parameters.append(path)
            return f"{_AT})" if test.operand else f"NOT {_AT})"
        case "eq":
            return _equal(path, [test.operand], parameters)
        case "ne":
            return f"NOT {_equal(path, [test.operand], parameters)}"
        case "in":
            return _equal(path, test.operand, parameters)
        case _:
            return _ordered(path, _ORDERS[test.operator], test.operand, parameters)


def _equal(path: bytes, operands: Sequence[Any], parameters: list[Any]) -> str:
    """Any of the operands equals what is at the path, or any part of a list there."""
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for operand in operands:
        kind, value = _operand(operand)
        if value is not None:
            by_kind[kind].append(value)
    parts = []
    for kind, values in by_kind.items():
        if kind == "0":  # absent, null, or a list with a null in it
            parts += [f"NOT {_AT})", f"{_AT} AND kind = '0')"]
            parameters += [path, path]
        else:
            mark = "CAST(? AS TEXT)" if kind == "s" else "?"
            parts.append(f"{_AT} AND kind = '{kind}' AND value IN ({', '.join([mark] * len(values))}))")
            parameters += [path, *values]
    return _join(" OR ", parts, _NOTHING)


def _ordered(path: bytes, sign: str, operand: Any, parameters: list[Any]) -> str:
    if isinstance(operand, str):
        parameters += [path, _bytes(operand)]
        return f"{_AT} AND kind = 's' AND value {sign} CAST(? AS TEXT))"
    if isinstance(operand, float) and math.isnan(operand):
        return _NOTHING
    sign, value = _bound(sign, operand)
    parameters += [path, value]
    return f"{_AT} AND kind = 'n' AND value {sign} ?)"


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
