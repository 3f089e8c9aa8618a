"""A place among matches, as a client gets it and gives it back for the next page: score and id, opaque."""

import base64
import binascii
import json

from models.errors import InputError
from retrieval.gallery import Match


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
        score, item_id = json.loads(base64.b64decode(value, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        score = item_id = None
    if isinstance(score, bool) or not isinstance(score, int | float) or not isinstance(item_id, str):
        raise InputError("after", "must be the `next` of the answer that this one is to follow.")
    return float(score), item_id
