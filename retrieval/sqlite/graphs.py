"""Graphs of a gallery's vectors: read at start, and built in the background where much is in none.

A graph is kept in a file beside the gallery's. It may lack what is newer and have what is gone, for rows never
change what they hold; the file of another gallery, or of an older copy of this one, is found out by a few of its
vectors."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from retrieval.graph import Graph, GraphError
from retrieval.sqlite.row_index import RowIndex

_LOG = logging.getLogger(__name__)
_SAMPLES = 64  # vectors that are compared
_NEAR = 0.99  # cosine of a vector and its half-precision copy
_NICENESS = 10  # of threads that build: whoever searches meanwhile is waited for, and a graph is not
_TURN_SECONDS = 0.2
_turn = threading.Lock()  # one graph at a time in a process: each takes a whole core


class Graphs:
    """Builds a gallery's graphs, one after the other, in the background. Knows indexes by slot."""

    def __init__(self, gallery: Path) -> None:
        """Begin nothing. `gallery`: the file beside which graphs are kept."""
        self._gallery = gallery
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._building: set[int] = set()
        self._threads: list[threading.Thread] = []

    def known(self, slot: int, index: RowIndex) -> RowIndex:
        """The index with the graph that is kept for it, if there is one that fits and is needed."""
        path = path_of(self._gallery, slot)
        if not index.lacks() or not path.exists():
            return index
        try:
            graph = Graph.load(path, index.room_NE.shape[1])
        except (OSError, GraphError) as error:
            _LOG.warning("a graph is built anew: %s", error)
            return index
        fitting = index.with_graph(graph)
        if not _fits(fitting):
            _LOG.warning("%s: of other vectors; a graph is built anew", path.name)
            return index
        return fitting

    def consider(self, slot: int, index: RowIndex, attach: Callable[[Graph], None]) -> None:
        """Build a larger graph in the background if the index lacks one; `attach` is given it."""
        if not index.lacks():
            return
        with self._guard:
            if slot in self._building or self._stop.is_set():
                return
            self._building.add(slot)
            thread = threading.Thread(
                target=self._build, args=(slot, index, attach), name=f"graph-{slot}", daemon=True
            )
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def forget(self, slots: Iterable[int]) -> None:
        """Delete the files of slots whose vectors are gone."""
        for slot in slots:
            try:
                path_of(self._gallery, slot).unlink(missing_ok=True)
            except OSError as error:
                _LOG.warning("a graph that is not wanted any more stays: %s", error)

    def _build(self, slot: int, index: RowIndex, attach: Callable[[Graph], None]) -> None:
        try:
            _give_way()
            with _in_turn(self._stop):
                graph = index.larger_graph(self._stop)
            attach(graph)
            graph.save(path_of(self._gallery, slot))
        except InterruptedError:
            pass
        except Exception:  # searches go on without it, exactly and more slowly
            _LOG.exception("%s: a graph could not be built or kept", self._gallery.name)
        finally:
            with self._guard:
                self._building.discard(slot)

    def close(self) -> None:
        """Stop building."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def _in_turn(stop: threading.Event) -> Iterator[None]:
    """Wait until no other graph is built. Raises InterruptedError where `stop` is set."""
    while not _turn.acquire(timeout=_TURN_SECONDS):
        if stop.is_set():
            raise InterruptedError("the graph is not wanted any more")
    try:
        yield
    finally:
        _turn.release()


def _give_way() -> None:
    """Lower this thread's priority, where the system knows threads' own (elsewhere it is the process's)."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def path_of(gallery: Path, slot: int) -> Path:
    """Where a slot's graph is kept."""
    return gallery.with_name(f"{gallery.stem}.db-graph-{slot}")


def _fits(index: RowIndex) -> bool:
    covered = index.covered
    if covered is None:
        return False
    alive = np.flatnonzero(covered.places_c >= 0)
    some = alive[:: max(1, len(alive) // _SAMPLES)]
    kept = index.room_NE[covered.places_c[some]]
    copies = np.stack([covered.graph.vector(int(number)) for number in some]) if len(some) else kept
    return len(some) > 0 and bool(((kept * copies).sum(axis=1) > _NEAR).all())
