"""A search, in one statement: it sees one moment of the database.

Of few vectors all are compared. Of many, pgvector's graph gives them nearest first, for as long as a filter wants
more; where it ends too early, all are compared after all."""

from collections.abc import Iterator
from typing import Any

from retrieval.gallery import Floats, Match, Query
from retrieval.item import Item
from retrieval.postgres.schema import vectors_of
from retrieval.postgres.where import Condition
from retrieval.postgres.writing import Seat, as_text
from retrieval.selection import select

EXACT_VECTORS = 20_000
"""As many are compared one by one; from here on there is a graph."""

COLUMNS = "i.id, i.text, i.labels, i.metadata, i.has_image, i.has_audio, i.has_sensors"
_SCORE = "round(greatest(-1, least(1, -(v.data <#> %s::vector)))::numeric, 6)::float8"
_PAGE = 200  # rows of a ranking that are fetched at a time


def search(db: Any, gallery: int, seat: Seat, unit_E: Floats, query: Query) -> list[Match]:
    """The matches of a query, within a transaction."""
    condition, vector = Condition(query.where), as_text(unit_E)
    parts = ["i.gallery = %s", "v.embedding = %s", "v.target = %s", condition.sql]
    values: list[Any] = [gallery, seat.number, query.target, *condition.values]
    if query.exclude is not None:
        parts.append("i.id <> %s")
        values.append(query.exclude.encode("utf-8", "replace").decode().replace("\0", ""))
    inner = (
        f"SELECT {COLUMNS}, {_SCORE} AS score FROM {vectors_of(seat.embedding.dimensions)} v"  # noqa: S608
        f" JOIN intermodal.items i USING (row) WHERE {' AND '.join(parts)}"
    )
    if query.group_by is None and query.after is None and has_graph(db, seat, query.target):
        found = _nearby(db, inner, [vector, *values], vector, query)
        if len(found) == query.top_k:
            return found
    outer = f"SELECT * FROM ({inner}) i WHERE score >= %s ORDER BY score DESC, id"  # noqa: S608
    limit = "" if query.group_by is not None or query.after is not None else f" LIMIT {int(query.top_k)}"
    return select(_ranked(db, outer + limit, [vector, *values, query.min_score]), query)


def _nearby(db: Any, inner: str, values: list[Any], vector: str, query: Query) -> list[Match]:
    count = query.top_k + 16
    if _scans_on(db):
        db.execute("SET LOCAL hnsw.iterative_scan = strict_order")
    db.execute(f"SET LOCAL hnsw.ef_search = {min(1000, max(100, count))}")
    statement = f"{inner} ORDER BY v.data <=> %s::vector LIMIT {int(count)}"
    matches = sorted(_ranked(db, statement, [*values, vector]), key=lambda match: (-match.score, match.item.id))
    return select(matches, query)


def _scans_on(db: Any) -> bool:
    """Whether pgvector goes on where a filter leaves too few: it does from 0.8 on."""
    (version,) = db.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    return [int(part) for part in version.split(".")[:2]] >= [0, 8]


def _ranked(db: Any, statement: str, values: list[Any]) -> Iterator[Match]:
    with db.cursor(name="ranking") as cursor:
        cursor.itersize = _PAGE
        cursor.execute(statement, values)
        for *columns, score in cursor:
            yield Match(to_item(columns), float(score))


def to_item(columns: list[Any]) -> Item:
    """An item from what COLUMNS names."""
    item_id, text, labels, metadata, has_image, has_audio, has_sensors = columns
    has = {"has_image": has_image, "has_audio": has_audio, "has_sensors": has_sensors}
    return Item(id=item_id, text=text, labels=labels, metadata=metadata, **has)


def has_graph(db: Any, seat: Seat, target: str) -> bool:
    """Whether there is a graph of the target's vectors."""
    (there,) = db.execute("SELECT to_regclass(%s) IS NOT NULL", (f"intermodal.{_name(seat, target)}",)).fetchone()
    return bool(there)


def make_graphs(db: Any, seat: Seat) -> None:
    """Build graphs where there are many vectors and none; takes long, and no write waits for it."""
    table = vectors_of(seat.embedding.dimensions)
    for target in seat.embedding.targets:
        (count,) = db.execute(
            f"SELECT count(*) FROM {table} WHERE embedding = %s AND target = %s",  # noqa: S608
            (seat.number, target),
        ).fetchone()
        if count > EXACT_VECTORS and not has_graph(db, seat, target):
            db.execute("SET statement_timeout = 0")
            try:
                db.execute(
                    f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {_name(seat, target)} ON {table} USING hnsw"
                    f" (data vector_cosine_ops) WHERE embedding = {seat.number} AND target = '{_sane(target)}'"
                )
            finally:
                db.execute("RESET statement_timeout")


def _name(seat: Seat, target: str) -> str:
    return f"graph_{seat.number}_{_sane(target)}"


def _sane(target: str) -> str:
    if not (target.isascii() and target.isidentifier()):
        raise ValueError(f"target: {target[:60]!r} must be letters, digits and '_'")
    return target
