"""The indexes of one embedding, all at the same change of the file."""

import sqlite3
import threading
from dataclasses import dataclass, field, replace

from retrieval.graph import Graph
from retrieval.sqlite.changes import Changes
from retrieval.sqlite.graphs import Graphs
from retrieval.sqlite.row_index import RowIndex, Rows
from retrieval.sqlite.rows import vectors_of_slot
from retrieval.sqlite.seats import Seat


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """number: of the change that the indexes, by target, are at. filtered: answers of filters at it."""

    number: int
    by_target: dict[str, RowIndex]
    filtered: dict[str, Rows] = field(default_factory=dict)


class Indexes:
    """Follows the file. Knows no items."""

    def __init__(self, seat: Seat, graphs: Graphs) -> None:
        """Indexes that are not loaded yet."""
        self.seat = seat
        self._graphs = graphs
        self.pending_from = 0
        """No item of a smaller row is pending."""
        self._moment: Moment | None = None
        self._turned = threading.Condition()

    def load(self, db: sqlite3.Connection) -> Moment:
        """Load the vectors from a connection beside which nothing is written.

        Raises:
            ValueError: a vector of another length.
        """
        (number,) = db.execute("SELECT changes FROM gallery").fetchone()
        (most,) = db.execute("SELECT count(*) FROM embedded WHERE embedding = ?", (self.seat.number,)).fetchone()
        moment = Moment(
            number,
            {
                target: self._graphs.known(slot, RowIndex(*vectors_of_slot(db, slot, self.seat.dimensions, most)))
                for target, slot in self.seat.slots.items()
            },
        )
        with self._turned:
            self.pending_from = 0
            self._moment = moment
            self._turned.notify_all()
        return moment

    @property
    def moment(self) -> Moment | None:
        """The newest one; None where the indexes were lost."""
        return self._moment

    def lose(self) -> None:
        """Give the indexes up, for they could not follow the file."""
        with self._turned:
            self._moment = None
            self._turned.notify_all()

    def attach(self, target: str, graph: Graph) -> None:
        """Search a target with a graph from now on. Called while nothing is written."""
        with self._turned:
            if self._moment is not None:
                by_target = dict(self._moment.by_target)
                by_target[target] = by_target[target].with_graph(graph)
                self._moment = replace(self._moment, by_target=by_target)

    def wait(self, number: int, seconds: float) -> bool:
        """Until the change `number` has arrived, or the indexes are lost, but no longer than `seconds`."""
        with self._turned:
            return self._turned.wait_for(lambda: self._moment is None or self._moment.number >= number, seconds)

    def apply(self, changes: Changes, number: int) -> None:
        """Follow a transaction that was committed."""
        if self._moment is None:
            return
        by_target = dict(self._moment.by_target)
        for target, slot in self.seat.slots.items():
            index = by_target[target]
            if slot in changes.forgotten:
                self.pending_from = 0
                index = index.emptied()
            index = index.moved(changes.moved.get(slot, {}))
            index = index.changed(changes.added.get(slot, {}), changes.removed)
            by_target[target] = index
        with self._turned:
            self._moment = Moment(number, by_target)
            self._turned.notify_all()
