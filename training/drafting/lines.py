"""Lines of TOML with a comment each. Knows values; knows nothing of recipes."""

import json
from collections.abc import Mapping
from typing import Any

from training.drafting.survey import shorten

WIDTH = 34  # column at which comments begin


def names_of(key: str, seen: Mapping[str, str], comment: str) -> list[str]:
    """A list of columns, one a line, each with what was seen."""
    if not seen:
        return []
    items = [f"    {f'{value_of(name)},':<{WIDTH - 5}} # {remark}" for name, remark in seen.items()]
    return [f"{f'{key} = [':<{WIDTH - 1}} # {comment}", *items, "]"]


def line(key: str, value: Any, comment: str) -> str:
    """A key, its value, and a comment."""
    return f"{f'{key} = {value_of(value)}':<{WIDTH - 1}} # {comment}"


def value_of(value: Any) -> str:
    """A TOML value. Its strings are JSON's, but that DEL is escaped too."""
    if isinstance(value, float) and 0 < value < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def broken_comment(text: str, width: int = 110) -> str:
    """A comment, broken into lines."""
    lines: list[str] = []
    for word in shorten(text, 2_000).split():
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"# {word}")
    return "\n".join(lines)
