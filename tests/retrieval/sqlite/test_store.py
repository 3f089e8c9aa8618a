"""SQLite keeps the interface of a store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.sqlite.store import SqliteStore
from tests.retrieval.store_suite import StoreSuite


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], SqliteStore]:
        return lambda: SqliteStore(tmp_path / "data")
