import pytest

from retrieval.item import Item
from retrieval.sqlite import known_items
from retrieval.sqlite.known_items import KnownItems


def test_what_was_learnt_is_known_and_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_items, "MAX_ITEMS", 3)
    known = KnownItems()
    known.learn({1: Item(id="a"), 2: Item(id="b")})
    assert known.among([2, 7]) == {2: Item(id="b")}
    known.learn({3: Item(id="c"), 4: Item(id="d")})
    assert known.among([1, 2, 3, 4]) == {3: Item(id="c"), 4: Item(id="d")}
    known.learn({row: Item(id=str(row)) for row in range(9)})
    assert known.among(range(9)) == {}
