"""A database that is killed, and comes back; and what a client is told of it."""

import os
import signal
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pgserver
import psycopg
import pytest

from retrieval.errors import GalleryError
from retrieval.filter_parsing import parse_filter
from retrieval.gallery import Gallery, Match, Query
from retrieval.postgres import searching
from retrieval.postgres.store import PostgresStore
from tests.retrieval.store_data import NET, POOL, entry


def start(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pgserver.get_server(folder)


def once_it_answers(gallery: Gallery) -> Sequence[Match]:
    """A search, as soon as the pool has found the database again: it waits longer after each attempt."""
    end = time.monotonic() + 60
    while True:
        try:
            return gallery.search(POOL[1])
        except GalleryError:
            assert time.monotonic() < end


@pytest.mark.clock
def test_a_database_that_is_killed_is_told_of_and_used_again_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "pg"
    server = start(folder)
    url = server.get_uri()
    store = PostgresStore(url)
    gallery = store.open("shop", NET, model="shop")
    assert gallery.put([entry("a", 1)]) == [True]
    os.kill(int((folder / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    time.sleep(1)  # in which its children end
    with pytest.raises(GalleryError, match="does not answer") as told:
        gallery.put([entry("b", 2)])
    assert "postgres" not in str(told.value)
    assert str(folder) not in str(told.value)
    with pytest.raises(GalleryError):
        gallery.search(POOL[0])
    pgserver.PostgresServer._instances.clear()
    server = start(folder)
    try:
        assert "a" in [match.item.id for match in once_it_answers(gallery)]
        gallery.put([entry("c", 3)])
        assert gallery.search(POOL[3])[0].item.id == "c"
    finally:
        store.close()
        server.cleanup()


def test_an_address_that_is_wrong_is_told_without_it() -> None:
    store = PostgresStore("postgresql://me:secret@127.0.0.1:1/none")
    with pytest.raises(GalleryError, match="does not answer") as told:
        store.models()
    assert "secret" not in str(told.value)
    store.close()


def test_what_one_replica_writes_the_other_finds(url: str) -> None:
    one, other = PostgresStore(url), PostgresStore(url)
    here, there = one.open("shop", NET, model="shop"), other.open("shop", NET, model="shop")
    here.put([entry("a", 1)])
    assert there.search(POOL[1])[0].item.id == "a"
    there.delete(["a"])
    assert here.search(POOL[1]) == []
    one.close()
    other.close()


def test_of_many_vectors_a_graph_is_searched_and_filters_keep_their_count(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "EXACT_VECTORS", 300)
    store = PostgresStore(url)
    gallery = store.open("shop", NET, model="shop")
    gallery.put([entry(f"{n:04}", n % 12, labels={"kind": str(n % 100)}) for n in range(600)])
    exact = gallery.search(POOL[0], Query(top_k=20))
    gallery = store.open("shop", NET, model="shop")  # which builds the graph
    with psycopg.connect(url) as db:
        graphs = db.execute("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'graph_%'").fetchone()
    assert graphs == (1,)
    assert {match.score for match in gallery.search(POOL[0], Query(top_k=20))} == {match.score for match in exact}
    found = gallery.search(POOL[0], Query(top_k=6, where=parse_filter({"labels.kind": "7"})))
    assert sorted(match.item.id for match in found) == ["0007", "0107", "0207", "0307", "0407", "0507"]
    store.close()
