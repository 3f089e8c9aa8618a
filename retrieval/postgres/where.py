"""From a filter's tree to SQL: a condition on the item `i` that holds where `retrieval.filter.predicate` does."""

import math
from decimal import Decimal
from typing import Any

from retrieval.fields import digest, scalar
from retrieval.filter import Either, Every, Filter, Negation, Test

_ORDERS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
_LOOKUP = "EXISTS (SELECT 1 FROM intermodal.fields f WHERE f.row = i.row AND f.path = %s{})"


class Condition:
    """SQL with the values of its marks, in order."""

    def __init__(self, where: Filter | None) -> None:
        """Translate; None lets everything through."""
        self.values: list[Any] = []
        self.sql = "true" if where is None else self._of(where)

    def _of(self, where: Filter) -> str:
        match where:
            case Every(parts):
                return f"({' AND '.join(map(self._of, parts))})" if parts else "true"
            case Either(parts):
                return f"({' OR '.join(map(self._of, parts))})" if parts else "false"
            case Negation(part):
                return f"(NOT {self._of(part)})"
            case Test(field, operator, operand):
                path = as_bytes(f"{field.root}.{field.path}")
                if operator == "ne":
                    return f"(NOT {self._equal(path, [operand])})"
                if operator == "exists":
                    there = self._lookup(path)
                    return there if operand else f"(NOT {there})"
                if operator in _ORDERS:
                    return self._ordered(path, _ORDERS[operator], operand)
                return self._equal(path, operand if operator == "in" else [operand])

    def _lookup(self, path: bytes, more: str = "", *values: Any) -> str:
        self.values += [path, *values]
        return _LOOKUP.format(more)

    def _equal(self, path: bytes, operands: list[Any]) -> str:
        numbers: list[Decimal] = []
        by_kind: dict[str, list[bytes]] = {}
        parts: list[str] = []
        for operand in operands:
            kind, value = ("w", digest(operand)) if isinstance(operand, list) else scalar(operand)
            if kind == "n":
                numbers += as_decimals(value)
            else:
                by_kind.setdefault(kind, []).append(as_bytes(value))
        if "0" in by_kind:  # absent, null, or a list with a null in it
            parts.append(f"(NOT {self._lookup(path)})")
        if numbers:
            parts.append(self._lookup(path, " AND f.kind = 'n' AND f.number = ANY(%s)", numbers))
        for kind, values in by_kind.items():
            parts.append(self._lookup(path, f" AND f.kind = '{kind}' AND f.value = ANY(%s)", values))
        return f"({' OR '.join(parts)})" if parts else "false"

    def _ordered(self, path: bytes, sign: str, operand: Any) -> str:
        if isinstance(operand, str):
            return self._lookup(path, f" AND f.kind = 's' AND f.value {sign} %s", as_bytes(operand))
        numbers = as_decimals(operand)
        if not numbers:
            return "false"
        return self._lookup(path, f" AND f.kind = 'n' AND f.number {sign} %s", numbers[0])


def as_bytes(value: object) -> bytes:
    """How a value of any kind but a number is kept."""
    match value:
        case bytes():
            return value
        case str():
            return value.encode("utf-8", "surrogatepass")
        case _:
            return str(value).encode()


def as_decimals(value: object) -> list[Decimal]:
    """The very number, which numeric holds whatever it is; none for what equals no number."""
    if isinstance(value, float) and math.isnan(value):
        return []
    return [Decimal(value)] if isinstance(value, int | float) else []
