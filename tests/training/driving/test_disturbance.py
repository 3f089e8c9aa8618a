from random import Random

import pytest

from training.driving.disturbance import DRIFT, Disturbance
from training.driving.simulator import Action

STRAIGHT = Action(steer=0, gas=0.5, brake=0)


def test_noise_is_what_its_seed_says_and_about_as_strong_as_it_is_said_to_be() -> None:
    first, again = Disturbance(Random(1)), Disturbance(Random(1))
    done = [first(STRAIGHT) for _ in range(5_000)]
    assert done == [again(STRAIGHT) for _ in range(5_000)]
    quiet = [action.steer for action in done if action.gas == STRAIGHT.gas]  # no push
    assert sum(steer**2 for steer in quiet) / len(quiet) == pytest.approx(DRIFT**2, rel=0.2)
    pushed = 1 - len(quiet) / len(done)
    assert 0.05 < pushed < 0.2  # one decision in fifty begins a push of 4 to 9


def test_what_is_done_stays_what_can_be_done() -> None:
    disturb = Disturbance(Random(2))
    for _ in range(1_000):
        action = disturb(Action(steer=1, gas=1, brake=0.5))
        assert abs(action.steer) <= 1
        assert 0 <= action.gas <= 1
        assert action.brake == 0.5
