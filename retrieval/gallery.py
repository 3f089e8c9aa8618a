"""A gallery: items with named vectors, and the interface that every way of keeping them has.

A gallery is seen through one embedding: the vectors that one network gave. `embedding_id` names it, and a vector
of another network is never compared with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.content import content_of
from retrieval.filter import Field, Filter
from retrieval.item import Item

Floats = NDArray[np.float32]

DEFAULT_TARGET = "fused"
"""The vector of everything that an item has; the others are named after one modality each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """An item as it is written, whole: what an earlier entry of the same id had is gone.

    vectors: target → (E,) float32 of any norm but zero, of the gallery's embedding. `fused` is always there.
    image: the file as it was sent, from which a later network embeds it anew; None where the item has none.
    thumbnail: a small JPEG of it.
    audio: the recording as it was sent, for the same purpose.
    sensors: readings, as JSON, for the same.
    """

    item: Item
    vectors: Mapping[str, Floats]
    image: bytes | None = None
    thumbnail: bytes | None = None
    audio: bytes | None = None
    sensors: bytes | None = None

    @property
    def content(self) -> int:
        """A hash of what its vectors are made from."""
        return content_of(self.item.text, self.image, self.thumbnail, self.audio, self.sensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An item that has no vectors of this embedding yet.

    content: changes with whatever the vectors are made from; handed back with them, so that vectors of what has
        changed meanwhile are dropped.
    """

    id: str
    content: int
    text: str | None
    image: bytes | None
    audio: bytes | None = None
    sensors: bytes | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """An item that a search found, with its cosine to the query, -1 to 1."""

    item: Item
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to search for beside the vector.

    target: name of the vectors that are compared.
    top_k: most matches.
    where: which items count; None is all.
    min_score: matches below it are left out, before `top_k` counts.
    group_by: of the items with an equal value there, only the best counts. Those without one are each alone.
    after: score and id of the last match of the page before; only what comes behind it counts.
    exclude: the id of an item that does not count.
    """

    target: str = DEFAULT_TARGET
    top_k: int = 5
    where: Filter | None = None
    min_score: float = -1.0
    group_by: Field | None = None
    after: tuple[float, str] | None = None
    exclude: str | None = None


class Gallery(Protocol):
    """Items and their unit vectors. Every call may be made from several threads at once, and may block."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the vectors that can be searched: `fused` first, then the modalities by name."""

    @property
    def dimensions(self) -> int:
        """E, the length of every vector."""

    def __len__(self) -> int:
        """Number of items."""

    def search(self, query_E: Floats, query: Query = Query()) -> list[Match]:
        """The `top_k` items nearest to `query_E`, best first, equal scores by id (by code points).

        Items that the query leaves out, or that lack the target's vector, are not counted. Scores have six
        decimals, as `retrieval.exact` rounds them.

        Raises:
            QueryError: no such target, or a query of another length, not finite, or all zero.
            GalleryError: it cannot be read now.
        """

    def get(self, item_id: str) -> Item | None:
        """The item, or None."""

    def page(self, *, limit: int, after: str | None = None) -> Sequence[Item]:
        """At most `limit` items in the order of their ids, after the id `after`, which need not exist."""

    def vector(self, item_id: str, target: str = DEFAULT_TARGET) -> Floats | None:
        """The item's unit vector (E,), or None where it has none of this name."""

    def image(self, item_id: str) -> bytes | None:
        """The item's image as the file that was sent; its thumbnail where only that is kept; or None."""

    def thumbnail(self, item_id: str) -> bytes | None:
        """A small JPEG of the item's image, or None."""

    def audio(self, item_id: str) -> bytes | None:
        """The item's recording as the file that was sent, or None."""

    def sensors(self, item_id: str) -> bytes | None:
        """The item's readings, as JSON, or None."""


class WritableGallery(Gallery, Protocol):
    """A gallery that changes. What a call has answered is on the disk, and the next search finds it."""

    def put(self, entries: Sequence[Entry]) -> list[bool]:
        """Write entries in one transaction, all or none; of equal ids the last one stays.

        Returns:
            For each, whether its id is new.

        Raises:
            ValueError: an id that is empty or too long, or vectors that are not of this gallery.
            GalleryError: it cannot be written now; nothing was.
        """

    def delete(self, item_ids: Sequence[str]) -> list[bool]:
        """Delete items in one transaction. For each id, whether it was there. Raises as `put` does."""

    def pending(self, limit: int) -> Sequence[Pending]:
        """Some items without vectors of this embedding: at most `limit`, so that they may be embedded."""

    def fill(self, vectors: Mapping[str, Mapping[str, Floats]], contents: Mapping[str, int]) -> int:
        """Add the vectors of pending items, by id and target. Returns how many were still wanted.

        Args:
            vectors: id → target → (E,) float32; none at all for an item that this network cannot embed.
            contents: id → `Pending.content`; where it has changed since, the vectors are dropped.
        """

    def close(self) -> None:
        """Let go of files and connections; no call may follow."""
