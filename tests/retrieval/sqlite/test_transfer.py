"""Galleries in SQLite can be copied into another store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.sqlite.store import SqliteStore
from tests.retrieval.transfer_suite import TransferSuite


class TestSqliteTransfer(TransferSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        store = SqliteStore(tmp_path / "data")
        yield store
        for name in store.models():
            assert store.verify(name) == []
        store.close()
