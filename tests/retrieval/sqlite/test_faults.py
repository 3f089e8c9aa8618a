"""What goes wrong with files is told with its remedy, and loses nothing."""

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.content import content_of
from retrieval.errors import GalleryError
from retrieval.gallery import Query
from retrieval.item import Item
from retrieval.sqlite import file, schema
from retrieval.sqlite.store import SqliteStore
from retrieval.sqlite.view import SqliteGallery
from tests.retrieval.store_data import NET, POOL, entry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
def gallery(store: SqliteStore) -> SqliteGallery:
    gallery = store.open("shop", NET, model="shop")
    gallery.put([entry("old", 1, text="old")])
    return gallery


def assert_unchanged(store: SqliteStore, gallery: SqliteGallery) -> None:
    assert [match.item.id for match in gallery.search(POOL[1], Query(top_k=99))] == ["old"]
    assert len(gallery) == 1
    assert store.verify("shop") == []


def test_a_full_disk_is_told_and_loses_nothing(store: SqliteStore, gallery: SqliteGallery) -> None:
    wal = store.path("shop").with_name("shop.db-wal")
    room = wal.stat().st_size + 100_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(GalleryError, match="room"):
            gallery.put([entry(str(number), number, image=bytes(10_000)) for number in range(50)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_unchanged(store, gallery)
    assert gallery.put([entry("new", 2)]) == [True]


def test_a_full_file_is_told_and_loses_nothing(store: SqliteStore, gallery: SqliteGallery) -> None:
    writer = gallery._live.file._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(GalleryError, match="room"):
        gallery.put([entry(str(number), number, image=bytes(10_000)) for number in range(9)])
    assert_unchanged(store, gallery)
    writer.execute("PRAGMA max_page_count = 1000000")
    assert gallery.put([entry("new", 2)]) == [True]


def test_a_file_that_another_program_writes_is_told(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_SECONDS", 0.05)
    gallery = store.open("shop", NET, model="shop")
    gallery.put([entry("old", 1, text="old")])
    other = sqlite3.connect(store.path("shop"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GalleryError, match="locked by another process"):
        gallery.put([entry("new")])
    assert gallery.get("old") is not None
    other.close()
    assert_unchanged(store, gallery)
    assert gallery.put([entry("new")]) == [True]


def test_what_another_program_deleted_is_not_found(
    store: SqliteStore, gallery: SqliteGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.sqlite.live.APPLY_SECONDS", 0.01)
    other = sqlite3.connect(store.path("shop"))
    other.executescript("DELETE FROM vectors; DELETE FROM embedded; DELETE FROM items")
    other.commit()
    other.close()
    assert gallery.search(POOL[1]) == []


def test_a_second_process_is_refused_and_may_read_and_back_up(
    store: SqliteStore, gallery: SqliteGallery, tmp_path: Path
) -> None:
    script = """
import sys
from pathlib import Path
from retrieval.content import content_of
from retrieval.errors import GalleryError
from retrieval.sqlite.store import SqliteStore
from retrieval.store import Embedding
store = SqliteStore(Path(sys.argv[1]))
print(store.models())
store.backup("shop", Path(sys.argv[1]) / "backup.db")
try:
    store.open("shop", Embedding(id="net", dimensions=8, targets=("fused",)), model="shop")
except GalleryError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    models, refusal = done.stdout.splitlines()
    assert models == "{'shop': 'shop'}"
    assert f"in use by process {os.getpid()}" in refusal
    assert_unchanged(store, gallery)
    (tmp_path / "backup.db").rename(store.path("copy"))
    assert store.verify("copy") == []
    assert store.open("copy", NET, model="shop").get("old") == gallery.get("old")


def test_a_backup_of_a_gallery_that_is_written_is_of_one_moment(
    store: SqliteStore, gallery: SqliteGallery
) -> None:
    store.backup("shop", store.path("copy"))
    gallery.put([entry("new", 2)])
    copy = store.open("copy", NET, model="shop")
    assert [item.id for item in copy.page(limit=9)] == ["old"]
    assert store.verify("copy") == []
    with pytest.raises(GalleryError, match="no such gallery"):
        store.backup("none", store.path("other"))


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(GalleryError, match="data/galleries: Not a directory"):
        SqliteStore(tmp_path / "data").open("shop", NET, model="shop")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "galleries").mkdir(mode=0o500)
    with pytest.raises(GalleryError, match="Permission denied"):
        SqliteStore(tmp_path).open("shop", NET, model="shop")


def test_a_file_that_is_no_gallery_is_left_as_it_is(store: SqliteStore) -> None:
    path = store.path("shop")
    path.parent.mkdir()
    path.write_bytes(b"not a database, but somebody's text" * 99)
    with pytest.raises(GalleryError, match="damaged: restore a backup"):
        store.open("shop", NET, model="shop")
    with pytest.raises(GalleryError, match="damaged: restore a backup"):
        store.models()
    assert path.read_bytes().startswith(b"not a database")


def test_a_database_of_another_program_is_left_as_it_is(store: SqliteStore) -> None:
    path = store.path("shop")
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(GalleryError, match="no gallery"):
        store.open("shop", NET, model="shop")
    assert path.read_bytes() == before


def test_a_file_of_a_newer_version_is_refused(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.open("shop", NET, model="shop").close()
    with sqlite3.connect(store.path("shop")) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(GalleryError, match="newer version of this program"):
        store.open("shop", NET, model="shop")


def test_an_older_file_is_brought_up_to_date(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = store.open("shop", NET, model="shop")
    gallery.put([entry("old")])
    gallery.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE later (x INTEGER) STRICT;"))
    assert store.open("shop", NET, model="shop").get("old") is not None
    with sqlite3.connect(store.path("shop")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
        assert db.execute("SELECT count(*) FROM later").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_from_before_recordings_or_readings_takes_them_and_keeps_its_items(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    store.path("shop").parent.mkdir()
    with sqlite3.connect(store.path("shop"), isolation_level=None) as db:
        monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
        schema.prepare(db, store.path("shop"), "shop")
        db.execute(
            "INSERT INTO items (row, id, text, labels, metadata, has_image, origin, content)"
            " VALUES (1, 'old', 'a text', '{}', '{}', 0, 'user', ?)",
            (content_of("a text", None, None),),
        )
        db.execute("UPDATE gallery SET next_row = 2")
    db.close()
    monkeypatch.undo()
    gallery = store.open("shop", NET, model="shop")
    assert gallery.get("old") == Item(id="old", text="a text")
    assert [pending.id for pending in gallery.pending(9)] == ["old"]
    gallery.put([replace(entry("new"), audio=b"RIFF", sensors=b"{}")])
    assert (gallery.audio("new"), gallery.audio("old")) == (b"RIFF", None)
    assert (gallery.sensors("new"), gallery.sensors("old")) == (b"{}", None)
    gallery.close()
    assert store.verify("shop") == []


def test_an_empty_file_becomes_a_gallery(store: SqliteStore) -> None:
    """So it is left by a process that was killed before its first transaction."""
    store.path("shop").parent.mkdir()
    store.path("shop").touch()
    assert store.models() == {}
    assert store.open("shop", NET, model="shop").put([entry("a")]) == [True]
    assert store.models() == {"shop": "shop"}


def test_a_page_that_was_overwritten_is_found_by_verify(store: SqliteStore, gallery: SqliteGallery) -> None:
    gallery.put([entry(f"{number:04}", number, text="x" * 500) for number in range(300)])
    gallery.close()
    path = store.path("shop")
    with path.open("r+b") as out:
        out.seek(path.stat().st_size // 2)
        out.write(b"\xff" * 30_000)
    assert store.verify("shop")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE items SET labels = '{' WHERE id = 'old'", "item 'old'"),
        ("UPDATE items SET text = 'new' WHERE id = 'old'", "text and files"),
        ("UPDATE items SET labels = '{\"x\":\"1\"}' WHERE id = 'old'", "labels.x cannot be filtered by"),
        ("UPDATE items SET has_image = 1", "image is not as it says"),
        ("INSERT INTO fields VALUES ('labels.x', 's', '1', 1)", "1 rows, where labels and metadata give 0"),
        ("UPDATE vectors SET data = x'00'", "another length"),
        ("UPDATE vectors SET data = zeroblob(32)", "1 vectors are not of unit norm"),
        ("UPDATE vectors SET key = key + 5", "vectors without an embedded item"),
        ("INSERT INTO vectors VALUES ((99 << 40) | 1, x'00')", "1 vectors of no embedding"),
        ("DELETE FROM items", "embedded rows without an item"),
        ("INSERT INTO embedded VALUES (9, 1, 1)", "1 embedded rows of no embedding"),
        ("INSERT INTO deletions VALUES ('old')", "1 deleted items that are there"),
        ("UPDATE gallery SET next_row = 1", "1 rows that will be used again"),
        ("INSERT INTO images VALUES (77, x'00')", "images: row 77"),
    ],
)
def test_what_does_not_agree_is_found_by_verify(
    store: SqliteStore, gallery: SqliteGallery, damage: str, says: str
) -> None:
    gallery.close()
    assert store.verify("shop") == []
    with sqlite3.connect(store.path("shop")) as db:
        db.execute(damage)
    db.close()
    assert any(says in fault for fault in store.verify("shop")), store.verify("shop")


def test_an_index_that_differs_from_the_file_is_found_by_verify(
    store: SqliteStore, gallery: SqliteGallery
) -> None:
    moment = gallery._indexes.moment
    moment.by_target["fused"] = moment.by_target["fused"].emptied()
    assert store.verify("shop") == ["embedding net, fused: the index is not what the file has"]


def test_an_index_that_could_not_follow_is_loaded_anew(
    gallery: SqliteGallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(gallery._indexes, "apply", fail, raising=True)
    monkeypatch.setattr("retrieval.sqlite.live.APPLY_SECONDS", 0.001)
    assert gallery.put([entry("new", 2)]) == [True]
    assert "loaded anew" in caplog.text
    assert gallery.search(POOL[2])[0].item.id == "new"
