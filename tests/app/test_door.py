"""Who is let in: by places, by turns, and by the time that is left."""

from contextlib import ExitStack
from time import perf_counter
from typing import Any

import pytest

from app.call import Call
from app.door import Door
from app.refusals import QueueFullError


class Queue:
    """Says what it is told; an item takes a second."""

    def __init__(self, waiting: int = 0, running: int = 0) -> None:
        self.waiting, self.running = waiting, running

    def num_waiting(self) -> int:
        return self.waiting

    def num_running(self) -> int:
        return self.running

    def turn_seconds(self, num_ahead: int) -> float:
        return float(num_ahead)


def call(seconds: float = 1000.0) -> Call:
    return Call(record=lambda *_: None, deadline=perf_counter() + seconds)


def check(door: Door, own: Call, forward: Any = None, *light: Any) -> None:
    door.check(own, forward or Queue(), *(light or (Queue(),)))


def test_places_are_counted_over_all_flows_but_for_what_runs() -> None:
    door, refused = Door(3), []
    door.on_refusal = lambda: refused.append(1)
    with ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(door.entered(call()))
        with pytest.raises(QueueFullError):
            check(door, call())
        check(door, call(), Queue(running=1))
    check(door, call())
    assert refused == [1]


def test_of_a_crowd_only_as_many_go_first_as_the_own_flow_has_inside() -> None:
    door, crowd, own = Door(1000), call(), call(5.0)
    with ExitStack() as inside:
        for _ in range(100):
            inside.enter_context(door.entered(crowd))
        check(door, own)  # one of the crowd goes first: a second
        inside.enter_context(door.entered(own))
        inside.enter_context(door.entered(own))
        with pytest.raises(QueueFullError) as caught:  # three of the crowd and two of its own: five seconds
            check(door, own)
    assert caught.value.retry_after_seconds == 5


def test_half_of_the_time_is_left_for_the_work_itself() -> None:
    door = Door(1000)
    with ExitStack() as inside:
        for _ in range(4):
            inside.enter_context(door.entered(call()))
        check(door, call(8.1))
        with pytest.raises(QueueFullError):
            check(door, call(7.9))


def test_the_slowest_stage_decides() -> None:
    door = Door(1000)
    with ExitStack() as inside:
        for _ in range(10):
            inside.enter_context(door.entered(call()))
        check(door, call(5.0), Queue(running=9), Queue(waiting=1))
        with pytest.raises(QueueFullError):
            check(door, call(5.0), Queue(running=6), Queue(waiting=4))


def test_time_that_is_over_is_no_full_queue() -> None:
    with pytest.raises(TimeoutError):
        check(Door(10), call(-1.0))


def test_who_was_running_for_clients_that_left_makes_no_room() -> None:
    door = Door(1)
    with door.entered(call()), pytest.raises(QueueFullError):
        check(door, call(), Queue(running=0))
    check(door, call(), Queue(running=8))  # nobody inside: not fewer than none


def test_of_several_items_the_turn_of_the_last_one_counts() -> None:
    door, own = Door(100), call(10.0)
    forward: Any = Queue()
    door.check(own, forward, Queue(), num_items=5)  # type: ignore[arg-type]
    with pytest.raises(QueueFullError) as refused:
        door.check(own, forward, Queue(), num_items=9)  # type: ignore[arg-type]
    assert refused.value.retry_after_seconds == 8  # those before the last
