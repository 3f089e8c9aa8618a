"""A search that a request asks for, in one gallery."""

from collections.abc import Sequence
from dataclasses import replace

from app.payload import SearchRequest
from retrieval.errors import QueryError
from retrieval.gallery import Floats, Gallery, Match, Query


def check_target(gallery: Gallery, target: str) -> None:
    """Refuse a target that the gallery has no vectors for. Raises QueryError."""
    if target not in gallery.targets:
        raise no_target(target, gallery.targets)


def no_target(target: str, targets: Sequence[str]) -> QueryError:
    """What is wrong with a target that is none of `targets`."""
    return QueryError("target", f"no vectors named {target[:60]!r}. There are: {', '.join(targets)}.")


def search_gallery(gallery: Gallery, query: Query, query_E: Floats) -> Sequence[Match]:
    """The query, once its vector is known."""
    return gallery.search(query_E, query)


def search_by_vector(gallery: Gallery, request: SearchRequest) -> Sequence[Match]:
    """Neighbours of a vector, or of an item, which is not its own."""
    search, query_E = request.search, request.vector
    if request.like is not None:
        query_E = gallery.vector(request.like, search.target)
        if query_E is None:
            raise QueryError(
                "like", f"no item {request.like[:60]!r} with a vector {search.target!r}. Name another."
            )
        search = replace(search, exclude=request.like)
    if query_E is None:
        raise ValueError("a search needs a vector or an item")
    return gallery.search(query_E, search)
