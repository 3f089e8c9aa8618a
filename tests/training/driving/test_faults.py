import numpy as np
import pytest

from tests.training.driving.situations import EchoService, situation
from training.driving.faults import FAULTS, Broken, Fault
from training.driving.pilot import FALLBACK_BRAKE, FROZEN_DECISIONS, Manners, Pilot


def test_a_frozen_camera_and_stuck_sensors_go_on_with_what_they_sent_last() -> None:
    first, second = (situation(shade=shade, yaw_rate=shade / 10).observation for shade in (5, 6))
    camera, sensors = Broken("frozen_camera"), Broken("stuck_sensors")
    for broken in (camera, sensors):
        broken(first)
    assert camera(second).frame[1, 1, 0] == 5
    assert camera(second).sensors == second.sensors
    assert sensors(second).frame[1, 1, 0] == 6
    assert sensors(second).sensors == first.sensors


def test_noise_is_another_picture_each_time_and_darkness_is_black() -> None:
    seen = situation(shade=5).observation
    noisy = Broken("noisy_camera")
    assert not np.array_equal(noisy(seen).frame, noisy(seen).frame)
    assert Broken("dark_camera")(seen).frame.max() == 0
    assert seen.frame[1, 1, 0] == 5


def test_a_torn_line_reads_far_beyond_every_range() -> None:
    assert set(Broken("dead_sensors")(situation().observation).sensors.values()) == {1e4}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_begins_at_its_tick_and_ends_with_the_track(fault: Fault) -> None:
    service = EchoService()
    pilot = Pilot(service, Manners(fault=fault, from_tick=10, fallback=False))
    for tick in (8, 10, 12, 0):
        pilot(situation(tick=tick, shade=tick, yaw_rate=0.25))
    before, again = service.asked[0], service.asked[-1]
    assert before[0] == again[0]


def test_what_comes_late_is_braked_upon() -> None:
    pilot = Pilot(EchoService(), Manners(fault="late_answers", from_tick=10))
    assert pilot(situation(tick=8)).gas == 0.5
    assert pilot(situation(tick=10)) == (0, 0, FALLBACK_BRAKE)
    assert (pilot.late, pilot.failed, pilot.braked) == (1, 0, 1)
    hurried = Pilot(EchoService(), Manners(fault="late_answers", fallback=False))
    assert hurried(situation()).gas == 0.5


def test_readings_that_never_change_while_the_wheels_turn_are_left_out() -> None:
    service = EchoService()
    pilot = Pilot(service)
    for shade in range(FROZEN_DECISIONS + 2):
        pilot(situation(shade=shade, wheel_front_left=50))
    assert ["sensors" in fields for fields, _ in service.asked] == [True] * FROZEN_DECISIONS + [False] * 2
    pilot(situation(wheel_front_left=51))
    assert "sensors" in service.asked[-1][0]
