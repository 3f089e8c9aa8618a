"""All that a gallery holds, as it goes from one store to another. Knows no store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from retrieval.gallery import Entry, Floats
from retrieval.item import Item
from retrieval.store import Embedding

Origin = Literal["seed", "user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A gallery without its items.

    seed_version: of the seed that was merged last; 0 for none.
    deleted: ids that users deleted, which a newer seed does not bring back.
    """

    model: str
    embeddings: tuple[Embedding, ...]
    seed_version: int
    deleted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """An item with all that is kept of it.

    vectors: embedding id → target → (E,) float32. An embedding that is not there has the item pending;
        one with no vectors could not embed it.
    """

    item: Item
    origin: Origin
    image: bytes | None
    thumbnail: bytes | None
    audio: bytes | None
    sensors: bytes | None
    vectors: Mapping[str, Mapping[str, Floats]]

    def without_vectors(self) -> Entry:
        """The item and its files."""
        return Entry(
            item=self.item,
            vectors={},
            image=self.image,
            thumbnail=self.thumbnail,
            audio=self.audio,
            sensors=self.sensors,
        )


class Transferable(Protocol):
    """A store whose galleries can be copied into another."""

    def describe(self, name: str) -> Description:
        """Raises GalleryError where there is no such gallery."""

    def records(self, name: str, after: str | None = None) -> Iterator[Record]:
        """All items in the order of their ids, after the id `after`; each as it is when it is reached."""

    def receive(self, name: str, description: Description, records: Sequence[Record]) -> None:
        """Write records in one transaction. It is made where there is none; writing one again is safe."""
