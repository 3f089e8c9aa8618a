"""What waits and refusals are computed from."""

import pytest

from app.pace import Pace


def test_a_wait_is_the_measured_time_of_those_before_shared_by_the_workers() -> None:
    pace = Pace()
    assert pace.turn_seconds(100, 2) == 0  # nothing is known yet
    pace.worked(4, 0.4)
    assert pace.turn_seconds(10, 2) == pytest.approx(0.5)
    pace.worked(1, 1.1)
    assert pace.turn_seconds(10, 2) == pytest.approx(1.0)  # a tenth of the new, nine of the old


def test_patience_lasts_as_long_as_arrivals_promise_to_fill_the_batch() -> None:
    pace = Pace()
    assert pace.patience_seconds(3, 1.0) == 0  # nobody ever came
    for now in range(100):
        pace.arrived(now * 0.01)
    assert pace.patience_seconds(3, 1.0) == pytest.approx(0.03, rel=0.01)
    assert pace.patience_seconds(300, 1.0) == 1.0
    assert pace.patience_seconds(0, 1.0) == 0
    assert pace.patience_seconds(3, 0.005) == 0  # the next would come too late


def test_a_night_without_requests_is_forgotten_by_the_morning() -> None:
    pace = Pace()
    for now in (0.0, 0.01, 30_000.0, *(30_000 + 0.01 * step for step in range(1, 60))):
        pace.arrived(now)
    assert pace.patience_seconds(1, 1.0) < 0.05
