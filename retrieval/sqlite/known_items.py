"""Items that were read before, by row. What a row holds never changes, so none of them is ever out of date."""

from collections.abc import Iterable, Mapping

from retrieval.item import Item

MAX_ITEMS = 10_000  # of a kilobyte each, say


class KnownItems:
    """A bounded memory of rows. Any thread may use it; each step on the dict is one of Python's own."""

    def __init__(self) -> None:
        self._items: dict[int, Item] = {}

    def among(self, rows: Iterable[int]) -> dict[int, Item]:
        """Those of the rows that are known."""
        found = ((row, self._items.get(row)) for row in rows)
        return {row: item for row, item in found if item is not None}

    def learn(self, items: Mapping[int, Item]) -> None:
        """Remember these too; what was known before is forgotten where it becomes too much."""
        if len(self._items) + len(items) > MAX_ITEMS:
            self._items = {}
        if len(items) <= MAX_ITEMS:
            self._items.update(items)
