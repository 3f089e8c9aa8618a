"""The last stage of the pipe: what a prediction's vector, or a vector that came, is searched for by."""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from app.stages import Found, Matched
from retrieval.gallery import Match

Search = Callable[[], Sequence[Match]]
"""A search that lacks nothing."""


def search_for(found: Found) -> tuple[Search, Found] | None:
    """The search that a prediction leads to; None where no matches are wanted."""
    search = found.ready.raw.search
    if search is None or found.prediction is None:
        return None
    return partial(search, found.prediction.embedding_E), found


def search_each(waiting: list[tuple[Search, Found | None]]) -> list[Matched | Exception]:
    """What each found, or why not."""
    return [_search(search, found) for search, found in waiting]


def _search(search: Search, found: Found | None) -> Matched | Exception:
    start = perf_counter()
    try:
        return Matched(search(), perf_counter() - start, found)
    except Exception as error:  # this item's; the others' searches have nothing to do with it
        return error
