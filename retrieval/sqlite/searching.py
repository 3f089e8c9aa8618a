"""A search: the nearest rows of one moment of the indexes, and then the items of those rows.

The items are read afterwards and without a transaction, or were before: what a row holds never changes, so they
are those whose vectors were compared. Where one is gone by then, the search begins anew with the indexes that know
it."""

import numpy as np

from retrieval.exact import SCORE_DECIMALS
from retrieval.filter import Filter
from retrieval.gallery import Floats, Match, Query
from retrieval.item import Item
from retrieval.selection import select
from retrieval.sqlite.indexes import Indexes, Moment
from retrieval.sqlite.live import LiveGallery
from retrieval.sqlite.row_index import Rows
from retrieval.sqlite.rows import items_by_row
from retrieval.sqlite.where import rows_where

_MAX_FILTERED = 8  # answers of filters that are kept until something is written
_TRIES = 20
_WIDER = 8  # times as many candidates, where those at hand do not suffice


class _GoneError(Exception):
    """An item was replaced or deleted while it was searched for."""


def search(live: LiveGallery, indexes: Indexes, unit_E: Floats, query: Query) -> list[Match]:
    """The matches of a query.

    Raises:
        GalleryError: the file cannot be read.
    """
    for _ in range(_TRIES):
        moment = live.newest(indexes)
        try:
            return _search(live, indexes, moment, unit_E, query)
        except _GoneError:
            live.leave_behind(indexes, moment)
    with live.file.still():
        return _search(live, indexes, live.newest(indexes), unit_E, query)


def _search(live: LiveGallery, indexes: Indexes, moment: Moment, unit_E: Floats, query: Query) -> list[Match]:
    allowed = None
    if query.where is not None:
        moment, allowed = _allowed(live, indexes, moment, query.where)
    index = moment.by_target[query.target]
    items: dict[int, Item] = {}
    wanted = query.top_k + (query.exclude is not None) + 1
    while True:
        rows, scores = index.search(unit_E, wanted, allowed)
        whole = len(rows) < wanted
        if not whole:
            # Of those that tie with the last, others may have been left out.
            kept = scores > scores[-1]
            rows, scores, last = rows[kept], scores[kept], float(scores[-1])
        ranked = _hydrated(live, rows, scores, query, items)
        found = select(ranked, query)
        if whole or len(found) == query.top_k or last < query.min_score:
            return found
        wanted = min(_WIDER * wanted, len(index.rows_n) + 1)


def _allowed(live: LiveGallery, indexes: Indexes, moment: Moment, where: Filter) -> tuple[Moment, Rows]:
    """The rows that a filter lets through, and the moment at which it does."""
    key = repr(where)  # in which true and 1 differ
    rows = moment.filtered.get(key)
    if rows is None:
        with live.moment(indexes) as (db, moment):
            rows = rows_where(db, where)
        if len(moment.filtered) >= _MAX_FILTERED:
            moment.filtered.clear()
        moment.filtered[key] = rows
    return moment, rows


def _hydrated(live: LiveGallery, rows: Rows, scores: Floats, query: Query, items: dict[int, Item]) -> list[Match]:
    """Matches in the order of score and id, of the candidates that may count."""
    may = scores >= query.min_score
    if query.after is not None and query.group_by is None:
        may &= scores <= query.after[0]
    decimals = np.round(scores[may].astype(np.float64), SCORE_DECIMALS).tolist()
    ranked = list(zip(rows[may].tolist(), decimals, strict=True))
    items |= live.known_items.among(row for row, _ in ranked if row not in items)
    missing = [row for row, _ in ranked if row not in items]
    if missing:
        with live.file.connection() as db:
            found = items_by_row(db, missing)
        if len(found) < len(missing):
            raise _GoneError
        live.known_items.learn(found)
        items |= found
    matches = [Match(items[row], score) for row, score in ranked if items[row].id != query.exclude]
    return sorted(matches, key=lambda match: (-match.score, match.item.id))
