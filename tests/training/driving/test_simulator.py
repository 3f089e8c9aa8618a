import numpy as np
import pytest

from training.driving.simulator import FRAME_PX, HOLD_TICKS, SENSORS, Action, Simulator


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator()


def test_a_seed_gives_the_same_road_and_the_same_frames(simulator: Simulator) -> None:
    first = simulator.reset(seed=3)
    road = simulator.road.points_N2
    frame = first.frame.copy()
    assert not np.array_equal(simulator.reset(seed=4).frame, frame)
    again = simulator.reset(seed=3)
    assert np.array_equal(again.frame, frame)
    assert np.array_equal(simulator.road.points_N2, road)
    assert frame.shape == (FRAME_PX, FRAME_PX, 3)
    assert frame.dtype == np.uint8


def test_the_car_stands_on_its_road_and_looks_along_it(simulator: Simulator) -> None:
    simulator.reset(seed=3)
    pose, line = simulator.pose, simulator.road
    assert line.locate(pose.x, pose.y).offset == pytest.approx(0, abs=0.5)
    ahead = line.ahead(0, 5) - [pose.x, pose.y]
    nose = [np.cos(pose.heading), np.sin(pose.heading)]
    assert ahead @ nose / np.linalg.norm(ahead) > 0.99


def test_steering_left_turns_the_car_to_the_left_as_its_sensors_say(simulator: Simulator) -> None:
    simulator.reset(seed=3)
    for _ in range(10):
        observation = simulator.step(Action(steer=0, gas=0.5, brake=0))
    heading = simulator.pose.heading
    for _ in range(5):
        observation = simulator.step(Action(steer=-0.2, gas=0, brake=0))
    assert simulator.pose.heading > heading
    assert observation.sensors["steering_angle"] == pytest.approx(0.2, abs=0.02)
    assert observation.sensors["yaw_rate"] > 0.1


def test_readings_have_the_names_and_ranges_that_are_said(simulator: Simulator) -> None:
    observation = simulator.reset(seed=3)
    for _ in range(40):
        assert list(observation.sensors) == list(SENSORS)
        for name, value in observation.sensors.items():
            assert SENSORS[name].low <= value <= SENSORS[name].high, name
        observation = simulator.step(Action(steer=0, gas=1, brake=0))
    assert observation.sensors["speed"] > 30


def test_an_action_is_held_and_only_its_last_tick_is_drawn(simulator: Simulator) -> None:
    before = simulator.reset(seed=3).frame
    after = simulator.step(Action(steer=0, gas=1, brake=0))
    assert simulator.ticks == HOLD_TICKS
    assert not np.array_equal(before, after.frame)
    blind = Simulator(drawing=False)
    assert blind.reset(seed=3).frame.max() == 0
    assert blind.step(Action(steer=0, gas=1, brake=0)).sensors == after.sensors


def test_a_car_that_stands_loses_a_tenth_a_tick_until_the_time_is_over() -> None:
    simulator = Simulator(drawing=False)
    simulator.reset(seed=3)
    won = simulator.reward
    simulator.step(Action(steer=0, gas=0, brake=1), ticks=4)
    start = simulator.reward
    while not simulator.done:
        simulator.step(Action(steer=0, gas=0, brake=1), ticks=100)
    assert won == 0
    assert simulator.ticks == 1_000
    assert not simulator.lap_finished
    assert simulator.reward - start == pytest.approx(-99.6)
