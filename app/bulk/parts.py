"""What `itertools.batched` is from Python 3.12 on."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Tuples of `size` items, the last one maybe of fewer."""
    stream = iter(items)
    while part := tuple(islice(stream, size)):
        yield part
