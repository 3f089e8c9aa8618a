"""Many rows in few statements.

Python gives its lock away at every step of SQLite and may wait 5 ms to have it back, where other threads compute:
a statement a row would make a bulk import a hundred times slower beside them."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

_SIZES = (64, 8, 1)  # rows in one statement: few different ones, so that SQLite's compiled ones are used again


def insert(db: sqlite3.Connection, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, in order. `columns`: their names, with commas between."""
    mark = f"({', '.join('?' * (columns.count(',') + 1))})"
    start = 0
    for size in _SIZES:
        sql = f"INSERT INTO {table} ({columns}) VALUES {', '.join([mark] * size)}"  # noqa: S608
        while len(rows) - start >= size:
            db.execute(sql, list(chain.from_iterable(rows[start : start + size])))
            start += size


def as_json(values: Iterable[Any]) -> str:
    """Strings or numbers, or lists of them, for `SELECT value FROM json_each(?)`."""
    return json.dumps(list(values), ensure_ascii=False)
