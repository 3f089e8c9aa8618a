"""JSON that two readers agree on, and not too much of it. Knows nothing of what it says."""

import json
from collections import Counter
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from models.errors import TooLargeError


def parse(text: str, max_values: int, field: str = "body") -> Any:
    """The value that `text` is.

    NaN, Infinity and a name given twice are no JSON that two readers agree on. An empty list takes three bytes
    here and seventy in memory, so values are counted before they are made.

    Raises:
        TooLargeError: more commas and brackets than `max_values`.
        ValueError: no JSON; the message says why.
    """
    if sum(map(text.count, (",", "[", "{"))) > max_values:
        detail = f"more than {max_values:,} commas and brackets. Send less, or raise INTERMODAL_MAX_JSON_VALUES."
        raise TooLargeError(field, detail)
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write(value: object) -> bytes:
    """The JSON of plain objects, in UTF-8.

    A caller's text may hold half of a surrogate pair, which has no UTF-8: all is ASCII then. What is no number is
    null, for NaN is no JSON.
    """
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return json.dumps(value).encode("ascii")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {twice[:60]!r} is given twice")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
