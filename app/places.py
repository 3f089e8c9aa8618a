"""A place among matches, as a client gets it and gives it back for the next page: score and id, opaque."""

import base64
import json
import math

from app import strict_json
from models.errors import InputError, TooLargeError
from retrieval.gallery import Match

_MAX_VALUES = 600  # an id may hold that many commas


def write_place(match: Match) -> str:
    """The place of `match`."""
    return base64.urlsafe_b64encode(json.dumps([match.score, match.item.id]).encode()).decode()


def read_place(value: str | None) -> tuple[float, str] | None:
    """Score and id that `write_place` wrote; None for None.

    Raises:
        InputError: of the field `after`.
    """
    if value is None:
        return None
    try:
        text = base64.b64decode(value, altchars=b"-_", validate=True).decode()
        score, item_id = strict_json.parse(text, _MAX_VALUES)
        place = math.nan if isinstance(score, bool | str) else float(score)
    except (TypeError, ValueError, OverflowError, TooLargeError):
        place, item_id = math.nan, None
    if not math.isfinite(place) or not isinstance(item_id, str):
        raise InputError("after", "must be the `next` of the answer that this one is to follow.")
    return place, item_id
