"""Writers that wait go together, and each has its own answer."""

import sqlite3
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from retrieval.errors import GalleryError
from retrieval.sqlite import file
from retrieval.sqlite.changes import Changes
from retrieval.sqlite.file import GalleryFile


class Numbers:
    """Remembers the numbers of the transactions that it is told of."""

    def __init__(self, path: Path) -> None:
        self.numbers: list[int] = []
        self.file = GalleryFile(path, "model", lambda _, number: self.numbers.append(number))

    def delete(self, item_id: str) -> None:
        self.file.write(lambda db, _: db.execute("INSERT INTO deletions VALUES (?)", (item_id,)) and None)

    def deleted(self) -> list[str]:
        with self.file.reading() as db:
            return [item_id for (item_id,) in db.execute("SELECT id FROM deletions ORDER BY id")]

    def together(self, pool: ThreadPoolExecutor, item_ids: str) -> list[Future[None]]:
        """Have so many writers wait, and let them go at once."""
        still = self.file.still()
        with still:
            futures = [pool.submit(self.delete, item_id) for item_id in item_ids]
            end = time.monotonic() + 60
            while len(self.file._turns) < len(item_ids):
                assert time.monotonic() < end
        return futures


def test_writers_that_wait_share_a_transaction(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "a.db")
    with ThreadPoolExecutor(8) as pool:
        for future in numbers.together(pool, "abcdefgh"):
            future.result(timeout=60)
    assert numbers.deleted() == list("abcdefgh")
    assert numbers.numbers == [1]
    numbers.file.close()


def test_a_group_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MAX_GROUP", 3)
    numbers = Numbers(tmp_path / "a.db")
    with ThreadPoolExecutor(8) as pool:
        for future in numbers.together(pool, "abcdefgh"):
            future.result(timeout=60)
    assert numbers.deleted() == list("abcdefgh")
    assert numbers.numbers == [1, 2, 3]
    numbers.file.close()


def test_a_writer_that_fails_fails_alone(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "a.db")
    with ThreadPoolExecutor(8) as pool:
        futures = numbers.together(pool, "abba")  # equal keys
        errors = [future.exception(timeout=60) for future in futures]
    assert [error is None for error in errors].count(True) == 2
    assert all(isinstance(error, GalleryError) for error in errors if error is not None)
    assert numbers.deleted() == ["a", "b"]
    numbers.file.close()


def test_what_a_failing_writer_did_before_is_undone(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "a.db")

    def job(db: sqlite3.Connection, changes: Changes) -> None:
        db.execute("INSERT INTO deletions VALUES ('a')")
        changes.num_items += 1
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError, match="mistake"):
        numbers.file.write(job)
    assert numbers.deleted() == []
    numbers.delete("b")
    assert numbers.deleted() == ["b"]
    numbers.file.close()


def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "a.db")
    with numbers.file.reading() as db:
        assert db.execute("SELECT count(*) FROM deletions").fetchone() == (0,)
        numbers.delete("a")
        assert db.execute("SELECT count(*) FROM deletions").fetchone() == (0,)
    assert numbers.deleted() == ["a"]
    numbers.file.close()


def test_a_file_that_is_closed_says_so(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "a.db")
    numbers.file.close()
    numbers.file.close()
    with pytest.raises(GalleryError, match="closed"):
        numbers.delete("a")
    with pytest.raises(GalleryError, match="closed"):
        numbers.deleted()
