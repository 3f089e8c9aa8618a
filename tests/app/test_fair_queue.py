"""Turns among flows, and order within them."""

import pytest

from app.fair_queue import FairQueue


def drained(queue: FairQueue[str]) -> list[str]:
    found = []
    while queue:
        first = queue.peek()
        found.append(queue.pop())
        assert first == found[-1]
    return found


def test_flows_take_turns_and_keep_their_order() -> None:
    queue = FairQueue[str]()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.push(item, item[0])
    assert len(queue) == 6
    assert drained(queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(queue) == 0


def test_a_flow_that_comes_back_has_its_turn_last() -> None:
    queue = FairQueue[str]()
    queue.push("a1", "a")
    queue.push("b1", "b")
    queue.push("b2", "b")
    assert queue.pop() == "a1"
    queue.push("a2", "a")
    assert drained(queue) == ["b1", "a2", "b2"]


def test_what_had_its_turn_already_goes_before_all_in_its_order() -> None:
    queue = FairQueue[str]()
    queue.push("a1", "a")
    queue.push_first("y")
    queue.push_first("x")
    assert drained(queue) == ["x", "y", "a1"]


def test_an_empty_queue_says_so() -> None:
    with pytest.raises(IndexError, match="empty"):
        FairQueue[str]().pop()
