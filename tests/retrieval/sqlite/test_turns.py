"""Turns are taken in the order of arrival."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from retrieval.sqlite.turns import Turns, Waiting


def together(group: list[Waiting]) -> None:
    """Each job's answer is what it returns, and how many were done with it."""
    for waiting in group:
        waiting.future.set_result((waiting.job(), len(group)))


def queued(pool: ThreadPoolExecutor, turns: Turns, calls: list) -> list[Future]:
    """Have calls wait one after the other, while the caller is alone."""
    futures = []
    for call in calls:
        before = len(turns)
        futures.append(pool.submit(call))
        while len(turns) == before:
            pass
    return futures


def test_a_job_is_done_at_once_where_nobody_waits() -> None:
    turns = Turns(8)
    assert turns.do(lambda: "a", together) == ("a", 1)
    assert turns.do(lambda: "b", together) == ("b", 1)


def test_jobs_that_wait_are_done_together_up_to_whoever_wants_to_be_alone() -> None:
    turns = Turns(2)
    order: list[str] = []

    def job(name: str):  # noqa: ANN202
        return lambda: turns.do(lambda: order.append(name) or name, together)

    def alone() -> None:
        with turns.alone(), turns.alone():
            order.append("alone")

    with ThreadPoolExecutor(8) as pool:
        with turns.alone():
            futures = queued(pool, turns, [job("a"), job("b"), job("c"), alone, job("d")])
        answers = [future.result(timeout=60) for future in futures]
    assert answers == [("a", 2), ("b", 2), ("c", 1), None, ("d", 1)]
    assert order == ["a", "b", "c", "alone", "d"]


def test_a_leader_that_fails_leaves_nobody_waiting() -> None:
    turns = Turns(8)

    def fail(group: list[Waiting]) -> None:
        raise KeyError("a mistake of ours")

    with ThreadPoolExecutor(2) as pool:
        with turns.alone():
            jobs = [lambda: turns.do(lambda: 1, fail)] * 2
            futures = queued(pool, turns, jobs)
        errors = [future.exception(timeout=60) for future in futures]
    assert {type(error) for error in errors} == {KeyError, RuntimeError}
    assert turns.do(lambda: "after", together) == ("after", 1)


def test_whoever_is_interrupted_hands_its_turn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(8)

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        turns.do(lambda: "a", together)
    monkeypatch.undo()
    assert turns.do(lambda: "after", together) == ("after", 1)
