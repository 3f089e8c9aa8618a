"""A real PostgreSQL with pgvector, from the package pgserver; a fresh database for each test."""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="the extra postgres is not installed")
pgserver = pytest.importorskip("pgserver", reason="there is no pgserver for this platform")
names = (f"db{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pgserver.get_server(tmp_path_factory.mktemp("pg"))
    yield server
    server.cleanup()


@pytest.fixture
def url(server: Any) -> str:
    name = next(names)
    server.psql(f"CREATE DATABASE {name};")
    found: str = server.get_uri(name)
    return found
