"""PostgreSQL keeps the interface of a store."""

from collections.abc import Callable, Iterator

import pytest

from retrieval.postgres.store import PostgresStore
from tests.retrieval.store_suite import StoreSuite
from tests.retrieval.transfer_suite import TransferSuite


class TestPostgresStore(StoreSuite):
    @pytest.fixture
    def reopen(self, url: str) -> Callable[[], PostgresStore]:
        return lambda: PostgresStore(url)


class TestPostgresTransfer(TransferSuite):
    @pytest.fixture
    def store(self, url: str) -> Iterator[PostgresStore]:
        store = PostgresStore(url)
        yield store
        store.close()
