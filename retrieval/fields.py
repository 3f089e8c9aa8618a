"""An item's labels and metadata as rows that a filter can look up: path, kind and value.

kind    value
n, s    a number, a string
b       0 or 1
0       0: a null in a list; null itself has no row, for it is as if absent
w       a digest of a whole list or object, by which they are equal as in Python"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from retrieval.item import Item

Cell = tuple[str, str, int | float | str | bytes]


def explode(item: Item) -> set[Cell]:
    """Every place that a filter may name, with every value that it may meet there."""
    cells: set[Cell] = set()
    for name, label in item.labels.items():
        cells.update(_cells(f"labels.{name}", label))
    for key, value in item.metadata.items():
        cells.update(_cells(f"metadata.{key}", value))
        if "." not in key and isinstance(value, Mapping):
            for path, inner in _descend(key, value):
                if path not in item.metadata:  # a key with dots of its own comes first, as in `Field.read`
                    cells.update(_cells(f"metadata.{path}", inner))
    return cells


def _descend(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if "." in key:
            continue  # no path leads there
        path = f"{prefix}.{key}"
        yield path, inner
        if isinstance(inner, Mapping):
            yield from _descend(path, inner)


def _cells(path: str, value: Any) -> Iterator[Cell]:
    if value is None:
        return
    if isinstance(value, list):
        yield path, "w", digest(value)
        for part in _flat(value):
            yield path, *scalar(part)
    else:
        yield path, *scalar(value)


def _flat(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def scalar(value: Any) -> tuple[str, int | float | str | bytes]:
    """Kind and value of anything but a list."""
    match value:
        case None:
            return "0", 0
        case bool():
            return "b", int(value)
        case str():
            return "s", value
        case int() | float():
            return "n", value
        case _:
            return "w", digest(value)


def digest(value: Any) -> bytes:
    """Equal for lists and objects that Python holds equal: in them 1, 1.0 and true are the same."""
    return hashlib.blake2b(_canonical(value).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _canonical(value: Any) -> str:
    match value:
        case list():
            return f"[{','.join(map(_canonical, value))}]"
        case Mapping():
            return f"{{{','.join(f'{json.dumps(key)}:{_canonical(value[key])}' for key in sorted(value))}}}"
        case float() if not value.is_integer():
            return repr(value)
        case int() | float():
            return hex(int(value))
        case _:
            return json.dumps(value)
