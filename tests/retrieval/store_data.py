"""What the tests of stores write and ask: entries, filters, and a gallery that is a dict."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from retrieval.exact import ExactIndex, unit_query
from retrieval.filter import predicate
from retrieval.filter_parsing import parse_filter
from retrieval.gallery import Entry, Floats, Match, Query
from retrieval.item import Item
from retrieval.selection import select
from retrieval.store import Embedding

E = 8
NET = Embedding(id="net", dimensions=E, targets=("fused", "image", "text"))
OTHER = Embedding(id="other", dimensions=3, targets=("fused", "text"))

# Few vectors, far from one another: scores tie exactly or differ plainly, whatever sums them up.
POOL = np.random.default_rng(7).standard_normal((12, E)).astype(np.float32)
POOL_OTHER = np.random.default_rng(8).standard_normal((12, 3)).astype(np.float32)


def entry(
    item_id: str,
    number: int = 0,
    *,
    text: str | None = None,
    labels: Mapping[str, str | list[str]] | None = None,
    metadata: Mapping[str, Any] | None = None,
    image: bytes | None = None,
    thumbnail: bytes | None = None,
    audio: bytes | None = None,
    sensors: bytes | None = None,
    targets: tuple[str, ...] = ("fused",),
    pool: Floats = POOL,
) -> Entry:
    """An entry whose vectors are the numbered ones of the pool, another one for each target."""
    return Entry(
        item=Item(
            id=item_id,
            text=text,
            labels=labels or {},
            metadata=metadata or {},
            has_image=image is not None or thumbnail is not None,
            has_audio=audio is not None,
            has_sensors=sensors is not None,
        ),
        vectors={target: pool[(number + step) % len(pool)] for step, target in enumerate(targets)},
        image=image,
        thumbnail=thumbnail,
        audio=audio,
        sensors=sensors,
    )


class DictGallery:
    """What a gallery must answer, in the plainest way."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def put(self, entries: list[Entry]) -> list[bool]:
        created = []
        for one in entries:
            created.append(one.item.id not in self.entries)
            self.entries[one.item.id] = one
        return created

    def delete(self, item_ids: list[str]) -> list[bool]:
        return [self.entries.pop(item_id, None) is not None for item_id in item_ids]

    def search(self, query_E: Floats, query: Query) -> list[Match]:
        items = [self.entries[item_id].item for item_id in sorted(self.entries)]
        rows = [row for row, item in enumerate(items) if query.target in self.entries[item.id].vectors]
        vectors = [self.entries[items[row].id].vectors[query.target] for row in rows]
        if not rows:
            return []
        index = ExactIndex(np.array(vectors), np.array(rows), np.arange(len(items)))
        holds = predicate(query.where) if query.where is not None else bool
        allowed = np.array([holds(item) and item.id != query.exclude for item in items])
        found, scores = index.search(unit_query(query_E, E), len(items), allowed)
        return select([Match(items[row], float(score)) for row, score in zip(found, scores, strict=True)], query)


def agree(found: list[Match], wanted: list[Match]) -> bool:
    """Equal items in the same order; scores may differ in the last of their six decimals."""
    return [match.item for match in found] == [match.item for match in wanted] and all(
        abs(one.score - other.score) < 2.5e-6 for one, other in zip(found, wanted, strict=True)
    )


# Values that look alike and are not: true and 1, "1" and 1, null and absent, a list and what is in it.
NUMBERS = st.sampled_from([0, 1, 2, -1, 0.5, 1.0, 2**53 + 1, float(2**53), 1e300, -0.0])
WORDS = st.sampled_from(["", "a", "b", "B", "é", "\uffff", "😀", "1", "true", "%", "a'"])
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS
KEYS = st.sampled_from(["x", "y", "x.y", "", "é"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
METADATA = st.dictionaries(KEYS, VALUES, max_size=4)
LABELS = st.dictionaries(KEYS, WORDS | st.lists(WORDS, max_size=3), max_size=3)

FIELDS = st.sampled_from(
    [f"{root}.{path}" for root in ("labels", "metadata") for path in ("x", "y", "x.y", "x.x", "x.y.x", "é", "x.")]
)
OPERANDS = SCALARS | st.lists(VALUES, max_size=3) | st.sampled_from([10**30, float("inf"), "\ud800", "a\0"])
ORDERED = NUMBERS | WORDS | st.sampled_from([10**30, -(10**400), float("inf"), float("nan"), "\ud800", "a\0"])
CONDITIONS = st.one_of(
    SCALARS | st.lists(VALUES, max_size=3),
    st.builds(lambda value: {"ne": value}, OPERANDS),
    st.builds(lambda values: {"in": values}, st.lists(OPERANDS | VALUES, max_size=4)),
    st.builds(lambda wanted: {"exists": wanted}, st.booleans()),
    st.builds(lambda name, value: {name: value}, st.sampled_from(["gte", "gt", "lte", "lt"]), ORDERED),
)
LEAVES = st.dictionaries(FIELDS, CONDITIONS, max_size=2)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda name, parts: {name: parts}, st.sampled_from(["and", "or"]), st.lists(inner, max_size=3)),
    ),
    max_leaves=5,
).map(parse_filter)
