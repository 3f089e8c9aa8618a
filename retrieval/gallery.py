"""A gallery: items with named vectors, and the one interface that every way of keeping them has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

DEFAULT_TARGET = "fused"
"""The vector of everything that an item has; the others are named after one modality each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that can be found. Its vectors and its image are kept apart and asked for by id."""

    id: str
    text: str | None = None
    labels: Mapping[str, str | list[str]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    has_image: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """An item that a search found, with its cosine to the query, -1 to 1."""

    item: Item
    score: float


Predicate = Callable[[Item], bool]
"""Whether an item may be found; made by `retrieval.filter.parse_filter`."""


class Gallery(Protocol):
    """Items and their unit vectors. Every call may be made from several threads at once."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the vectors that can be searched."""

    @property
    def dimensions(self) -> int:
        """E, the length of every vector."""

    def __len__(self) -> int:
        """Number of items."""

    def search(
        self, query_E: Floats, *, target: str = DEFAULT_TARGET, top_k: int = 5, where: Predicate | None = None
    ) -> list[Match]:
        """The `top_k` items nearest to the query, best first, equal scores by id.

        Items that `where` refuses, or that lack the target's vector, are not counted.

        Raises:
            QueryError: no such target, or a query of another length, not finite, or all zero.
        """

    def get(self, item_id: str) -> Item | None:
        """The item, or None."""

    def page(self, *, limit: int, after: str | None = None) -> Sequence[Item]:
        """At most `limit` items in the order of their ids, after the id `after`, which need not exist."""

    def vector(self, item_id: str, target: str = DEFAULT_TARGET) -> Floats | None:
        """The item's unit vector (E,), or None where it has none of this name."""

    def image(self, item_id: str) -> bytes | None:
        """The item's image as a JPEG file, or None."""
