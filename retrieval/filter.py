"""The filter language: what an item must be like to be found, as a small tree.

    labels.colour = "Red"  and  metadata.year >= 2015

As in a request, null and an absent field are the same. A field that holds a list matches where any of its
elements does. Numbers compare with numbers and strings, by code points, with strings; anything else does not hold.
`predicate` is what the language means; every engine that translates the tree must agree with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from retrieval.item import Item

Operator = Literal["eq", "ne", "in", "gte", "gt", "lte", "lt", "exists"]


@dataclass(frozen=True, slots=True)
class Field:
    """A place in an item: `labels` and a name, or `metadata` and a path of keys with dots between."""

    root: Literal["labels", "metadata"]
    path: str

    def read(self, item: Item) -> object:
        """What the item has there; None where it has nothing."""
        if self.root == "labels":
            return item.labels.get(self.path)
        return _walk(item.metadata, self.path)


@dataclass(frozen=True, slots=True)
class Test:
    """One condition on one field. `operand`: a scalar, or a list for `in`, and for equality of whole lists."""

    field: Field
    operator: Operator
    operand: Any


@dataclass(frozen=True, slots=True)
class Every:
    """All of the parts hold; no parts let everything pass."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of the parts holds; no parts let nothing pass."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The part does not hold."""

    part: "Filter"


Filter = Test | Every | Either | Negation
Predicate = Callable[[Item], bool]


def predicate(where: Filter) -> Predicate:
    """A function that tells whether an item passes."""
    match where:
        case Every(parts):
            every = [predicate(part) for part in parts]
            return every[0] if len(every) == 1 else lambda item: all(holds(item) for holds in every)
        case Either(parts):
            some = [predicate(part) for part in parts]
            return lambda item: any(holds(item) for holds in some)
        case Negation(part):
            inner = predicate(part)
            return lambda item: not inner(item)
        case Test(field, operator, operand):
            compare, read = _OPERATORS[operator], field.read
            return lambda item: compare(read(item), operand)


def _walk(metadata: Mapping[str, Any], path: str) -> object:
    if path in metadata:  # a key may have dots of its own
        return metadata[path]
    value: Any = metadata
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


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
