"""What may be written into a gallery, whichever store keeps it: checked, and at unit norm."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from retrieval.gallery import DEFAULT_TARGET, Entry, Floats
from retrieval.item import Item
from retrieval.store import Embedding

MAX_ID_BYTES = 512
"""Bytes of an id in UTF-8: it is a key in every index."""

MAX_DEPTH = 64
"""How deep metadata may nest."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_WHOLE = range(-(2**63), 2**63)


def check_entries(entries: Sequence[Entry], embedding: Embedding) -> list[Entry]:
    """The entries with vectors of unit norm, and `has_image` and the like as their files say.

    Raises:
        ValueError: the first fault, which names id and field.
    """
    return [_check(entry, embedding) for entry in entries]


def _check(entry: Entry, embedding: Embedding) -> Entry:
    item = entry.item
    check_item(item)
    where = f"item {item.id[:60]!r}"
    if DEFAULT_TARGET not in entry.vectors:
        raise ValueError(f"{where}: needs the vector {DEFAULT_TARGET!r}")
    vectors = check_vectors(entry.vectors, embedding, where)
    has_image = entry.image is not None or entry.thumbnail is not None
    has_audio, has_sensors = entry.audio is not None, entry.sensors is not None
    item = replace(item, has_image=has_image, has_audio=has_audio, has_sensors=has_sensors)
    return replace(entry, item=item, vectors=vectors)


def check_item(item: Item) -> None:
    """Refuse what no store keeps.

    Raises:
        ValueError: the first fault, which names id and field.
    """
    if not is_id(item.id):
        raise ValueError(f"id: must be text of 1 to {MAX_ID_BYTES} bytes in UTF-8")
    where = f"item {item.id[:60]!r}"
    if item.text is not None:
        _check_text(item.text, f"{where}: text")
    for name, label in item.labels.items():
        parts = label if isinstance(label, list) else [label]
        if not all(isinstance(part, str) for part in parts):
            raise ValueError(f"{where}: label {name[:60]!r} must be a string or a list of strings")
    _check_json(dict(item.labels), f"{where}: labels", 0)
    _check_json(dict(item.metadata), f"{where}: metadata", 0)


def is_id(item_id: str) -> bool:
    """Whether an item may have this id."""
    return _NO_TEXT.search(item_id) is None and 1 <= len(item_id.encode()) <= MAX_ID_BYTES


def check_vectors(vectors: Mapping[str, Floats], embedding: Embedding, where: str) -> dict[str, Floats]:
    """The vectors (E,) float32 at unit norm, by target.

    Raises:
        ValueError: an unknown target, another shape, not finite, or all zero.
    """
    units = {}
    for target, vector_E in vectors.items():
        if target not in embedding.targets:
            raise ValueError(
                f"{where}: no vectors named {target[:60]!r}; there are {', '.join(embedding.targets)}"
            )
        wide = np.asarray(vector_E, dtype=np.float64)
        norm = float(np.linalg.norm(wide)) if wide.shape == (embedding.dimensions,) else math.nan
        if not math.isfinite(norm) or norm == 0.0:
            raise ValueError(
                f"{where}: vector {target!r} must be {embedding.dimensions} finite numbers, not all 0"
            )
        units[target] = (wide / norm).astype(np.float32)
    return units


def _check_json(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    match value:
        case str():
            _check_text(value, where)
        case list():
            for part in value:
                _check_json(part, where, depth + 1)
        case dict():
            for key, part in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"{where}: the key {key!r} is no string")
                _check_text(key, where)
                _check_json(part, where, depth + 1)
        case _:
            _check_scalar(value, where)


def _check_scalar(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: {value} is no number in JSON")
    if isinstance(value, int) and value not in _WHOLE:
        raise ValueError(f"{where}: {value} has more than 64 bits; write it as a string")
    if value is not None and not isinstance(value, bool | int | float):
        raise ValueError(f"{where}: {type(value).__name__} is no JSON")


def _check_text(text: str, where: str) -> None:
    # What a database cannot keep as text.
    if _NO_TEXT.search(text):
        raise ValueError(f"{where}: has a character that is no text (NUL, or half of a surrogate pair)")
