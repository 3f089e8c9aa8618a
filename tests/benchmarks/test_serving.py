"""The benchmarks of the service for a few seconds each, with the shipped model: nothing fails, all is right.

No time is looked at: that is what the real runs are for."""

import pytest

from benchmarks.serving import overload, soak
from benchmarks.serving.bench import Bench
from benchmarks.serving.faults import life
from benchmarks.serving.requests import load_pairs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(load_pairs(None, 16))


@pytest.mark.clock
def test_good_bad_and_cancelled_requests_leave_nothing_behind(bench: Bench) -> None:
    found = soak.measure(bench, seconds=2, connections=8, every_seconds=1)
    assert found["counts"].keys() == {"right", "cancelled"}, found["examples"]
    assert found["after"]["descriptors"] <= found["before"]["descriptors"]
    assert found["after"]["intermodal_requests_in_flight"] == 1  # the one that asks
    assert found["alive_at_the_end"]


@pytest.mark.clock
def test_more_than_can_be_answered_is_refused_and_the_rest_is_right(bench: Bench) -> None:
    found = overload.measure(bench, times=3, seconds=2, deadline_ms=2000, steady_seconds=0.6, after_seconds=2)
    assert found["counts"].keys() <= {"right", "429", "503", "504"}, found["examples"]
    assert found["counts"].get("right")
    assert "right" in found["after"]


def test_what_was_sent_before_the_signal_is_answered(bench: Bench) -> None:
    assert life.sigterm(bench, 2)["faults"] == []
