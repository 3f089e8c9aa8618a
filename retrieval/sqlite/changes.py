"""What a transaction changed in the vectors, so that the indexes in memory follow it once it is committed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.gallery import Floats


@dataclass(slots=True)
class Changes:
    """Rows are never used twice, so that it does not matter in which order they were added and removed.

    added: slot → row → its unit vector.
    moved: slot → row that was → row that is, with the same vector. A row that was not there has none to move.
    removed: rows of items that are gone, with all of their vectors.
    forgotten: slots whose vectors are all gone.
    num_items: how many more there are.
    """

    added: dict[int, dict[int, Floats]] = field(default_factory=dict)
    moved: dict[int, dict[int, int]] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)
    forgotten: set[int] = field(default_factory=set)
    num_items: int = 0

    def add(self, slot: int, row: int, vector_E: Floats) -> None:
        """A vector was written."""
        self.added.setdefault(slot, {})[row] = vector_E

    def move(self, slot: int, pairs: Sequence[tuple[int, int]]) -> None:
        """Vectors went from old rows to new ones."""
        added, moved = self.added.get(slot, {}), self.moved.setdefault(slot, {})
        origins = {row: origin for origin, row in moved.items()}
        for old, new in pairs:
            if old in added:
                added[new] = added.pop(old)
            else:
                moved[origins.get(old, old)] = new

    def join(self, later: "Changes") -> None:
        """Take over what came after."""
        for slot in later.forgotten:
            self.added.pop(slot, None)
            self.moved.pop(slot, None)
        for slot, moved in later.moved.items():
            self.move(slot, list(moved.items()))
        for slot, vectors in later.added.items():
            self.added.setdefault(slot, {}).update(vectors)
        self.removed += later.removed
        self.forgotten |= later.forgotten
        self.num_items += later.num_items
