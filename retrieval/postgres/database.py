"""Connections to a database, a bounded number of them, and its errors in words that a client may read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from retrieval.errors import GalleryError
from retrieval.postgres.schema import make_tables

MAX_CONNECTIONS = 8
_WAIT_SECONDS = 5.0  # for a connection
_STATEMENT_MS = 30_000
_LOG = logging.getLogger(__name__)
_SILENT = "The database of the galleries does not answer. Try again; whoever runs it finds more in the log."
_NO_ROOM = "The database of the galleries has no room. Make some."
_CLOSED = "The galleries are closed. Open them again."
_FULL = ("53100", "53200", "53300")  # disk, memory, connections


class Database:
    """A pool that is filled when it is first used, and again when the database comes back."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Args:
            url: postgresql://user:password@host/name. Neither logged nor told.
        """
        self._pool = ConnectionPool(
            url,
            min_size=0,
            max_size=MAX_CONNECTIONS,
            timeout=_WAIT_SECONDS,
            open=False,
            check=ConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "connect_timeout": round(_WAIT_SECONDS),
                "options": f"-c statement_timeout={_STATEMENT_MS}",
            },
        )
        self._ready = False

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection, for as long as it is used.

        Raises:
            GalleryError: the database does not answer, or cannot do what is asked.
        """
        try:
            if not self._ready:
                self._prepare()
            with self._pool.connection() as db:
                yield db
        except PoolClosed:
            raise GalleryError(_CLOSED) from None
        except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
            _LOG.error("the database of the galleries: %s", type(error).__name__, exc_info=error)
            full = getattr(error, "sqlstate", None) in _FULL
            raise GalleryError(
                "The database of the galleries has no room. Make some." if full else _SILENT
            ) from None
        except psycopg.Error as error:
            _LOG.error("the database of the galleries: %s", type(error).__name__, exc_info=error)
            raise GalleryError("The database of the galleries refuses this. The log has more.") from None

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A connection within a transaction. Raises as `connection` does; then nothing was written."""
        with self.connection() as db, db.transaction():
            yield db

    def _prepare(self) -> None:
        if self._pool.closed:
            self._pool.open()
        with self._pool.connection() as db:
            try:
                make_tables(db)
            except ValueError as error:
                raise GalleryError(f"The database of the galleries: {error}. Update this service.") from None
        self._ready = True

    def close(self) -> None:
        """Let go of the connections."""
        self._ready = True  # a pool that was closed is not opened again
        self._pool.close()
