import threading
from functools import partial

import pytest
import torch

from models.cores import usable_cores
from training.optimisation.prefetch import AHEAD, prefetched, steps_ahead


def test_what_is_made_comes_in_order_and_each_once() -> None:
    made: list[int] = []
    assert list(prefetched(partial(made.append, number) for number in range(9))) == [None] * 9
    assert made == list(range(9))
    assert list(prefetched(partial(pow, number, 2) for number in range(4))) == [0, 1, 4, 9]


def test_nothing_to_make_is_nothing() -> None:
    assert list(prefetched([])) == []


def test_the_next_is_made_while_the_caller_has_the_one_before() -> None:
    begun = [threading.Event() for _ in range(3)]
    stream = prefetched(event.set for event in begun)
    next(stream)
    assert begun[AHEAD].wait(10)
    assert not begun[AHEAD + 1].is_set()
    stream.close()


def test_all_are_made_by_one_thread_which_is_not_the_caller_s() -> None:
    threads = set(prefetched(threading.get_ident for _ in range(5)))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_error_is_raised_at_its_turn() -> None:
    def broken() -> int:
        raise ValueError("row 2")

    stream = prefetched([lambda: 1, broken, lambda: 3])
    assert next(stream) == 1
    with pytest.raises(ValueError, match="row 2"):
        next(stream)


def test_who_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    stream = prefetched(threading.get_ident for _ in range(5))
    next(stream)
    assert threading.active_count() == before + 1
    stream.close()
    assert threading.active_count() == before


def test_with_none_ahead_the_caller_makes_each_at_its_turn() -> None:
    made: list[int] = []
    stream = prefetched((partial(made.append, number) for number in range(3)), ahead=0)
    next(stream)
    assert made == [0]
    assert set(prefetched((threading.get_ident for _ in range(5)), ahead=0)) == {threading.get_ident()}


def test_on_a_cpu_a_thread_loads_only_where_a_core_is_to_spare() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(usable_cores())
        assert steps_ahead(torch.device("cpu")) == 0
        assert steps_ahead(torch.device("cuda")) == AHEAD
        if usable_cores() > 1:
            torch.set_num_threads(usable_cores() - 1)
            assert steps_ahead(torch.device("cpu")) == AHEAD
    finally:
        torch.set_num_threads(threads)
