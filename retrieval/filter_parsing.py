"""From JSON to a filter: what is written wrongly is refused with the remedy.

{"labels.colour": "Red", "metadata.year": {"gte": 2015}}     all of them hold
{"or": [{"labels.colour": {"in": ["Red", "Blue"]}}, {"not": {"metadata.sale": true}}]}"""

import difflib
from typing import cast, get_args

from retrieval.errors import QueryError
from retrieval.filter import Either, Every, Field, Filter, Negation, Operator, Test

MAX_DEPTH = 16
"""How deep `and`, `or` and `not` may nest."""

MAX_CONDITIONS = 256
"""Conditions in one filter: each costs about a microsecond an item."""

MAX_VALUES = 1000
"""Values in one list: each costs a tenth of a microsecond an item."""

_EXAMPLE = 'Write, say, {"labels.colour": "Red"}.'
_SCALARS = (str, int, float, bool, type(None))


def parse_filter(value: object) -> Filter:
    """Turn a filter, as parsed from JSON, into a tree. An empty object lets every item pass.

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

    def group(self, value: object, depth: int) -> Filter:
        """An object: all of its members hold."""
        if depth > MAX_DEPTH:
            raise _fault(f"nested deeper than {MAX_DEPTH} levels. Flatten it.")
        self._count()
        if not isinstance(value, dict):
            raise _fault(f"{_show(value)} where an object is expected. {_EXAMPLE}")
        return _every([self._member(name, operand, depth) for name, operand in value.items()])

    def _member(self, name: str, operand: object, depth: int) -> Filter:
        if name == "not":
            return Negation(self.group(operand, depth + 1))
        if name in ("and", "or"):
            if not isinstance(operand, list):
                raise _fault(f"{name[:60]!r} takes a list of filters, not {_show(operand)}.")
            parts = [self.group(part, depth + 1) for part in operand]
            return _every(parts) if name == "and" else Either(tuple(parts))
        field = parse_field(name, "filter")
        tests = operand if isinstance(operand, dict) else {"eq": operand}
        if not tests:
            raise _fault(f"{name[:60]!r} has an empty condition. {_EXAMPLE}")
        return _every([self._test(field, name, operator, value) for operator, value in tests.items()])

    def _test(self, field: Field, name: str, operator: str, operand: object) -> Filter:
        self._count()
        if operator not in _KNOWN:
            near = difflib.get_close_matches(operator[:60], _PUBLIC, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(_PUBLIC)}."
            raise _fault(f"{operator[:60]!r} at {name[:60]!r} is no operator. {hint}")
        _check_operand(name, operator, operand)
        return Test(field, cast(Operator, operator), operand)

    def _count(self) -> None:
        self._num_conditions += 1
        if self._num_conditions > MAX_CONDITIONS:
            raise _fault(f"more than {MAX_CONDITIONS} conditions. Use 'in' with a list of values.")


def _every(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def parse_field(name: str, asked_by: str) -> Field:
    """The field that a request names, e.g. `labels.colour`.

    Args:
        name: as it was sent.
        asked_by: the request's field that it was sent in, for the error.

    Raises:
        QueryError: no such field may be.
    """
    root, _, path = name.partition(".")
    if path and root == "labels":
        return Field("labels", path)
    if path and root == "metadata":
        return Field("metadata", path)
    also = ", and, or, not" if asked_by == "filter" else ""
    raise QueryError(asked_by, f"{name[:60]!r} is no field. There are labels.<name>, metadata.<name>{also}.")


def _check_operand(name: str, operator: str, operand: object) -> None:
    if operator == "in" and not isinstance(operand, list):
        raise _fault(f"'in' at {name[:60]!r} takes a list, not {_show(operand)}.")
    if isinstance(operand, list) and len(operand) > MAX_VALUES:
        raise _fault(f"a list at {name[:60]!r} of more than {MAX_VALUES:,} values. Search in several steps.")
    if operator == "exists" and not isinstance(operand, bool):
        raise _fault(f"'exists' at {name[:60]!r} takes true or false, not {_show(operand)}.")
    if operator in _ORDERS and (isinstance(operand, bool) or not isinstance(operand, str | int | float)):
        raise _fault(f"{operator!r} at {name[:60]!r} takes a number or a string, not {_show(operand)}.")
    if operator in ("eq", "ne") and not isinstance(operand, (*_SCALARS, list)):
        raise _fault(f"{operator!r} at {name[:60]!r} takes a value, not {_show(operand)}.")


_KNOWN = get_args(Operator)
_ORDERS = ("gte", "gt", "lte", "lt")
_PUBLIC = ("in", "gte", "gt", "lte", "lt", "ne", "exists")
