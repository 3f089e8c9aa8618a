"""A queue in which a crowd from one request does not make the next request wait. Knows no threads."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Flows take turns, an item each; within a flow the order is kept. Every operation takes constant time."""

    def __init__(self) -> None:
        self._flows: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._first: deque[T] = deque()
        self._num_items = 0

    def __len__(self) -> int:
        return self._num_items

    def push(self, item: T, flow: Hashable) -> None:
        """Append to a flow; a new flow's turn comes last."""
        self._flows.setdefault(flow, deque()).append(item)
        self._num_items += 1

    def push_first(self, item: T) -> None:
        """Put before everything, for what had its turn already."""
        self._first.appendleft(item)
        self._num_items += 1

    def peek(self) -> T:
        """What `pop` would return."""
        return self._first[0] if self._first else next(iter(self._flows.values()))[0]

    def pop(self) -> T:
        """Take the next item.

        Raises:
            IndexError: from an empty queue.
        """
        if not self._num_items:
            raise IndexError("the queue is empty")
        self._num_items -= 1
        if self._first:
            return self._first.popleft()
        flow, items = self._flows.popitem(last=False)
        item = items.popleft()
        if items:
            self._flows[flow] = items  # its next turn comes last
        return item
