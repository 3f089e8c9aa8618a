import math
from random import Random

import pytest

from tests.training.driving.roads import circle, square
from training.driving.commands import Moment, Spell, judge, schedule
from training.driving.expert import Expert, Manner, arc_to, max_speeds
from training.driving.simulator import HOLD_TICKS, Pose, Simulator

AT_ORIGIN = Pose(0, 0, heading=0, speed=40, yaw_rate=0, slip=0)


def test_a_bend_is_taken_as_fast_as_grip_allows() -> None:
    assert max_speeds(circle(25), 90, Manner(grip=100)) == pytest.approx(50, rel=1e-3)  # v² = 100 · 25
    assert max_speeds(circle(25), 30, Manner(grip=100)) == pytest.approx(30)


def test_before_a_corner_and_after_it_speed_is_what_can_be_braked_and_reached() -> None:
    speeds_N = max_speeds(square(100), 90, Manner(grip=50 * math.pi, bend_reach=0, braking=50, pull=20))
    assert speeds_N[100] == pytest.approx(10)  # the corner bends by pi / 2: v² = 100
    assert speeds_N[90] == pytest.approx(math.sqrt(100 + 2 * 50 * 10))
    assert speeds_N[110] == pytest.approx(math.sqrt(100 + 2 * 20 * 10))
    # 100 units from corner to corner: 20 d = 50 (100 - d), so d = 71.
    assert speeds_N.argmax() in (71, 171, 271, 371)


def test_the_arc_to_a_point_is_that_of_pure_pursuit() -> None:
    assert arc_to(AT_ORIGIN, (10, 0)) == 0
    assert arc_to(AT_ORIGIN, (1, 1)) == pytest.approx(1)  # a quarter of the circle around (0, 1)
    assert arc_to(AT_ORIGIN, (1, -1)) == pytest.approx(-1)
    assert arc_to(AT_ORIGIN, (-4, 0.001)) == pytest.approx(2 / 4)  # behind: as tight as may be, to its side


def test_it_steers_back_to_its_line_brakes_for_stop_and_goes_for_go() -> None:
    road = circle(1_000, points=1_800)
    beside = Pose(1_003.2, 0, heading=math.pi / 2, speed=40, yaw_rate=0, slip=0)  # 3.2 units to the right of it
    assert Expert(road).act(beside, "go").steer < -0.1  # left
    assert Expert(road).act(beside, "right").steer == pytest.approx(0, abs=0.02)
    assert Expert(road).act(beside, "stop").brake > 0.8
    assert Expert(road).act(beside, "go").gas == pytest.approx(1 - 1.2 * 0.4)  # 0.4 rad is all the steering
    assert Expert(road).act(beside, "down").gas == 0


def test_it_drives_a_lap_that_is_better_than_solved() -> None:
    simulator = Simulator(drawing=False)
    simulator.reset(seed=7)
    expert = Expert(simulator.road)
    while not simulator.done:
        simulator.step(expert.act(simulator.pose, "go"))
    assert simulator.lap_finished
    assert simulator.reward > 900


def test_it_obeys_the_commands_of_a_drive() -> None:
    simulator = Simulator(drawing=False)
    simulator.reset(seed=8)
    expert, spells = Expert(simulator.road), schedule(Random(8), 1_000)
    moments: dict[Spell, list[Moment]] = {}
    while not simulator.done:
        spell = [spell for spell in spells if spell.tick <= simulator.ticks][-1]
        simulator.step(expert.act(simulator.pose, spell.word))
        moments.setdefault(spell, []).extend([expert.moment(simulator.pose, spell.word)] * HOLD_TICKS)
    verdicts = [judge(spell, found) for spell, found in moments.items()]
    assert len(verdicts) >= 4
    assert all(verdict is None or verdict.obeyed for verdict in verdicts)
