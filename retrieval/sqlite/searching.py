"""From an index's rows to matches, within one moment of the file. Knows no locks."""

import sqlite3

from retrieval.filter import Filter
from retrieval.gallery import Floats, Match, Query
from retrieval.item import Item
from retrieval.selection import select
from retrieval.sqlite.indexes import Moment
from retrieval.sqlite.row_index import Rows
from retrieval.sqlite.rows import items_by_row
from retrieval.sqlite.where import rows_where

_MAX_FILTERED = 8  # answers of filters that are kept until something is written
_WIDER = 8  # times as many candidates, where those at hand do not suffice


def search(db: sqlite3.Connection, moment: Moment, unit_E: Floats, query: Query) -> list[Match]:
    """The matches of a query. `db` and `moment` show the same state."""
    index = moment.by_target[query.target]
    allowed = None if query.where is None else _allowed(db, moment, query.where)
    items: dict[int, Item] = {}
    wanted = query.top_k + (query.exclude is not None) + 1
    while True:
        rows, scores = index.search(unit_E, wanted, allowed)
        whole = len(rows) < wanted
        if not whole:
            # Of those that tie with the last, others may have been left out.
            kept = scores > scores[-1]
            rows, scores, last = rows[kept], scores[kept], float(scores[-1])
        found = select(_hydrated(db, rows, scores, query, items), query)
        if whole or len(found) == query.top_k or last < query.min_score:
            return found
        wanted = min(_WIDER * wanted, len(index.rows_n) + 1)


def _allowed(db: sqlite3.Connection, moment: Moment, where: Filter) -> Rows:
    key = repr(where)  # in which true and 1 differ
    rows = moment.filtered.get(key)
    if rows is None:
        if len(moment.filtered) >= _MAX_FILTERED:
            moment.filtered.clear()
        rows = moment.filtered[key] = rows_where(db, where)
    return rows


def _hydrated(
    db: sqlite3.Connection, rows: Rows, scores: Floats, query: Query, items: dict[int, Item]
) -> list[Match]:
    """Matches in the order of score and id, of the candidates that may count."""
    may = scores >= query.min_score
    if query.after is not None and query.group_by is None:
        may &= scores <= query.after[0]
    ranked = list(zip(rows[may].tolist(), scores[may].astype(float).tolist(), strict=True))
    missing = [row for row, _ in ranked if row not in items]
    if missing:
        items.update(items_by_row(db, missing))
    matches = [Match(items[row], score) for row, score in ranked if items[row].id != query.exclude]
    return sorted(matches, key=lambda match: (-match.score, match.item.id))
