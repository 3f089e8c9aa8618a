"""From all candidates, best first, to the matches that a query asks for. Knows no vectors."""

import json
from collections.abc import Iterable

from retrieval.filter import Field
from retrieval.gallery import Match, Query
from retrieval.item import Item


def select(ranked: Iterable[Match], query: Query) -> list[Match]:
    """The matches that `after`, `min_score`, `group_by` and `top_k` leave.

    Args:
        ranked: what passes `where` and `exclude`, best first, equal scores by id; read no further than needed.
        query: the rest of it.
    """
    found: list[Match] = []
    groups: set[str] = set()
    for match in ranked:
        if match.score < query.min_score:
            break
        group = None if query.group_by is None else group_of(match.item, query.group_by)
        if group is not None:
            if group in groups:
                continue
            groups.add(group)  # also on an earlier page: a group is shown once, where its best item is
        if query.after is not None and not behind(match, query.after):
            continue
        found.append(match)
        if len(found) == query.top_k:
            break
    return found


def behind(match: Match, after: tuple[float, str]) -> bool:
    """Whether a match comes after the place (score, id) in the order of matches."""
    score, item_id = after
    return match.score < score or (match.score == score and match.item.id > item_id)


def group_of(item: Item, field: Field) -> str | None:
    """The group that an item falls into, told apart by type as JSON does; None where it is alone."""
    value = field.read(item)
    return None if value is None else json.dumps(value, sort_keys=True)
