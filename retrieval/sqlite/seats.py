"""The embeddings that a file knows, by number, and the slots of their targets."""

import json
import sqlite3
from dataclasses import dataclass

from retrieval.store import Embedding


@dataclass(frozen=True, slots=True)
class Seat:
    """An embedding in one file. `slots`: by target."""

    number: int
    id: str
    dimensions: int
    slots: dict[str, int]

    def embedding_is(self, embedding: Embedding) -> bool:
        """Whether it is this embedding, with room for all of its targets."""
        same = (self.id, self.dimensions) == (embedding.id, embedding.dimensions)
        return same and self.slots.keys() >= set(embedding.targets)

    @property
    def embedding(self) -> Embedding:
        """As a store takes it."""
        return Embedding(id=self.id, dimensions=self.dimensions, targets=tuple(self.slots))


def read_seats(db: sqlite3.Connection) -> list[Seat]:
    """All embeddings of the file."""
    rows = db.execute(
        "SELECT number, id, dimensions, (SELECT json_group_object(target, slot) FROM"
        " (SELECT target, slot FROM slots WHERE embedding = number ORDER BY slot)) FROM embeddings ORDER BY number"
    )
    return [Seat(number, name, dimensions, json.loads(slots)) for number, name, dimensions, slots in rows]


def take_seat(db: sqlite3.Connection, embedding: Embedding) -> Seat:
    """The embedding's place in the file, which it is given where it has none.

    Raises:
        ValueError: its id is known with other dimensions.
    """
    db.execute(
        "INSERT INTO embeddings (id, dimensions) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (embedding.id, embedding.dimensions),
    )
    number, dimensions = db.execute(
        "SELECT number, dimensions FROM embeddings WHERE id = ?", (embedding.id,)
    ).fetchone()
    if dimensions != embedding.dimensions:
        raise ValueError(
            f"embedding {embedding.id[:60]!r}: known here with {dimensions} dimensions, not {embedding.dimensions}"
        )
    db.executemany(
        "INSERT INTO slots (embedding, target) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(number, target) for target in embedding.targets],
    )
    return next(one for one in read_seats(db) if one.number == number)
