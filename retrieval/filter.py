"""The filter language: from a JSON object to a predicate over items.

    {"labels.colour": "Red", "metadata.year": {"gte": 2015}}     all of them hold
    {"or": [{"labels.colour": {"in": ["Red", "Blue"]}}, {"not": {"metadata.sale": true}}]}

As in a request, null and an absent field are the same. A field that holds a list matches where any of its
elements does. Numbers compare with numbers and strings with strings; anything else does not hold."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from retrieval.errors import QueryError
from retrieval.gallery import Item, Predicate

MAX_DEPTH = 16
"""How deep `and`, `or` and `not` may nest."""

MAX_CONDITIONS = 256
"""Conditions in one filter: each costs about a microsecond an item."""

MAX_VALUES = 1000
"""Values in one list: each costs a tenth of a microsecond an item."""

_EXAMPLE = 'Write, say, {"labels.colour": "Red"}.'
_SCALARS = (str, int, float, bool, type(None))


def parse_filter(value: object) -> Predicate:
    """Turn a filter, as parsed from JSON, into a predicate. An empty object lets every item pass.

    Raises:
        QueryError: of the field `filter`, naming fault and remedy.
    """
    return _Parser().group(value, 0)


def _fault(detail: str) -> QueryError:
    return QueryError("filter", detail)


def _show(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value)[:60]


class _Parser:
    """Counts conditions while it descends."""

    def __init__(self) -> None:
        self._num_conditions = 0

    def group(self, value: object, depth: int) -> Predicate:
        """An object: all of its members hold."""
        if depth > MAX_DEPTH:
            raise _fault(f"nested deeper than {MAX_DEPTH} levels. Flatten it.")
        self._count()
        if not isinstance(value, dict):
            raise _fault(f"{_show(value)} where an object is expected. {_EXAMPLE}")
        return _every([self._member(name, operand, depth) for name, operand in value.items()])

    def _member(self, name: str, operand: object, depth: int) -> Predicate:
        if name == "not":
            inner = self.group(operand, depth + 1)
            return lambda item: not inner(item)
        if name in ("and", "or"):
            if not isinstance(operand, list):
                raise _fault(f"{name!r} takes a list of filters, not {_show(operand)}.")
            parts = [self.group(part, depth + 1) for part in operand]
            return _every(parts) if name == "and" else lambda item: any(part(item) for part in parts)
        read = _reader(name)
        tests = operand if isinstance(operand, dict) else {"eq": operand}
        if not tests:
            raise _fault(f"{name!r} has an empty condition. {_EXAMPLE}")
        return _every([self._test(read, name, operator, value) for operator, value in tests.items()])

    def _test(self, read: Callable[[Item], Any], name: str, operator: str, operand: object) -> Predicate:
        self._count()
        holds = _OPERATORS.get(operator)
        if holds is None:
            near = difflib.get_close_matches(operator[:60], _PUBLIC, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(_PUBLIC)}."
            raise _fault(f"{operator[:60]!r} at {name!r} is no operator. {hint}")
        _check_operand(name, operator, operand)
        return lambda item: holds(read(item), operand)

    def _count(self) -> None:
        self._num_conditions += 1
        if self._num_conditions > MAX_CONDITIONS:
            raise _fault(f"more than {MAX_CONDITIONS} conditions. Use 'in' with a list of values.")


def _every(parts: list[Predicate]) -> Predicate:
    if len(parts) == 1:
        return parts[0]
    return lambda item: all(part(item) for part in parts)


def _reader(name: str) -> Callable[[Item], Any]:
    """A function that reads the field `name` of an item; None where the item lacks it."""
    root, _, rest = name.partition(".")
    if rest and root == "labels":
        return lambda item: item.labels.get(rest)
    if rest and root == "metadata":
        steps = rest.split(".")
        return lambda item: _walk(item.metadata, rest, steps)
    raise _fault(f"{name[:60]!r} is no field. There are labels.<name>, metadata.<name>, and, or, not.")


def _walk(metadata: Mapping[str, Any], whole: str, steps: list[str]) -> object:
    if whole in metadata:  # a key may have dots of its own
        return metadata[whole]
    value: Any = metadata
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _check_operand(name: str, operator: str, operand: object) -> None:
    if operator == "in" and not isinstance(operand, list):
        raise _fault(f"'in' at {name!r} takes a list, not {_show(operand)}.")
    if isinstance(operand, list) and len(operand) > MAX_VALUES:
        raise _fault(f"a list at {name!r} of more than {MAX_VALUES:,} values. Search in several steps.")
    if operator == "exists" and not isinstance(operand, bool):
        raise _fault(f"'exists' at {name!r} takes true or false, not {_show(operand)}.")
    if operator in _ORDERS and (isinstance(operand, bool) or not isinstance(operand, str | int | float)):
        raise _fault(f"{operator!r} at {name!r} takes a number or a string, not {_show(operand)}.")
    if operator in ("eq", "ne") and not isinstance(operand, (*_SCALARS, list)):
        raise _fault(f"{operator!r} at {name!r} takes a value, not {_show(operand)}.")


def _equal(value: object, operand: object) -> bool:
    if isinstance(value, list) and not isinstance(operand, list):
        return any(_equal(part, operand) for part in value)
    # In Python True == 1; in JSON they are different things.
    return isinstance(value, bool) == isinstance(operand, bool) and bool(value == operand)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def holds(value: object, operand: object) -> bool:
        if isinstance(value, list):
            return any(holds(part, operand) for part in value)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return False
        return isinstance(value, str) == isinstance(operand, str) and compare(value, operand)

    return holds


_ORDERS = {
    "gte": _ordered(lambda value, operand: value >= operand),
    "gt": _ordered(lambda value, operand: value > operand),
    "lte": _ordered(lambda value, operand: value <= operand),
    "lt": _ordered(lambda value, operand: value < operand),
}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "ne": lambda value, operand: not _equal(value, operand),
    "in": lambda value, operand: any(_equal(value, one) for one in operand),
    "exists": lambda value, operand: (value is not None) == operand,
    **_ORDERS,
}
_PUBLIC = ("in", "gte", "gt", "lte", "lt", "ne", "exists")
