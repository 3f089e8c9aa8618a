"""Where galleries are kept: by name, each seen through the embeddings of the models that search it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from retrieval.gallery import WritableGallery
from retrieval.seed_gallery import SeedGallery

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
"""What a gallery may be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Whose vectors a gallery is seen through.

    id: the checkpoint's `embedding_id`.
    targets: the vectors that an item may have: `fused`, then the model's modalities.
    """

    id: str
    dimensions: int
    targets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seed:
    """What a checkpoint ships, with the vectors of its own embedding.

    version: the checkpoint's. A newer one adds, replaces and takes away what seeds brought;
        what users wrote or deleted stays so.
    read: reads it whole; a store that has this version already does without.
    """

    version: int
    read: Callable[[], SeedGallery]

    @cached_property
    def items(self) -> SeedGallery:
        """What is in it. Raises SeedError where it cannot be read."""
        return self.read()


class Store(Protocol):
    """Galleries by name. Every call may be made from several threads, and may block."""

    def models(self) -> dict[str, str]:
        """The galleries that there are, in order, each with the name of the model that it is of."""

    def open(self, name: str, embedding: Embedding, *, model: str, seed: Seed | None = None) -> WritableGallery:
        """See the gallery through an embedding; it is made, for that model, where there is none.

        Several embeddings of one gallery may be open at once, over the same items. Items that lack vectors of this
        one are `pending`, and are not found until they are filled.

        Raises:
            ValueError: a name that is not of letters, digits, '_', '.' and '-', or an embedding whose id is known
                with other dimensions.
            GalleryError: it cannot be read.
        """

    def drop(self, name: str) -> bool:
        """Delete a gallery with all that is in it; whether it was there. No view of it may be used any more."""

    def forget(self, name: str, embedding_id: str) -> int:
        """Delete the vectors of an embedding that no model uses any more. Returns how many there were."""

    def close(self) -> None:
        """Let go of files and connections."""
