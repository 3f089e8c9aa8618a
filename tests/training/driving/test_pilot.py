import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigError
from tests.training.driving.situations import EchoService, plain_situation, situation
from training.driving.client import NO_ANSWER
from training.driving.pilot import FALLBACK_BRAKE, FROZEN_DECISIONS, GIVE_UP, LOOK_BACK, PATIENCE, Manners, Pilot


def test_what_is_seen_told_and_read_is_asked_and_what_comes_back_is_done() -> None:
    service = EchoService()
    action = Pilot(service)(situation(shade=7, word="left", yaw_rate=0.25))
    assert action == (0.25, 0.5, 0.0)
    [(fields, files)] = service.asked
    assert fields["text"] == "left"
    assert fields["sensors"]["yaw_rate"] == 0.25
    assert not fields["retrieve"]
    assert np.asarray(Image.open(io.BytesIO(files["image"])))[1, 1, 0] == 7


def test_a_command_is_said_by_one_recording_until_the_next_one(tmp_path: Path) -> None:
    recordings = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in recordings:
        path.write_bytes(path.name.encode())
    service = EchoService()
    pilot = Pilot(service, Manners(spoken={"go": recordings}))
    for tick in (0, 50, 100, 150):
        pilot(situation(tick=tick))
    assert [files["audio"] for _, files in service.asked] == [b"a.wav", b"a.wav", b"b.wav", b"b.wav"]
    assert all("text" not in fields for fields, _ in service.asked)


def test_a_modality_is_switched_off_from_a_tick_on() -> None:
    service = EchoService()
    pilot = Pilot(service, Manners(without=["image", "sensors", "words"], from_tick=10))
    pilot(situation(tick=8))
    pilot(situation(tick=10))
    (before, shown), (after, hidden) = service.asked
    assert {"text", "sensors"} <= set(before)
    assert shown
    assert not {"text", "sensors"} & set(after)
    assert not hidden


def test_a_picture_of_one_colour_is_none() -> None:
    service = EchoService()
    Pilot(service)(plain_situation())
    assert not service.asked[0][1]


def test_a_camera_that_is_frozen_while_the_car_moves_is_not_believed() -> None:
    service = EchoService()
    pilot = Pilot(service)
    for _ in range(FROZEN_DECISIONS + 1):
        pilot(situation(shade=5, wheel_front_left=50))
    assert [bool(files) for _, files in service.asked] == [True] * FROZEN_DECISIONS + [False]
    pilot(situation(shade=5))  # it has come to stand, and the camera hangs still
    assert not service.asked[-1][1]
    pilot(situation(shade=6, wheel_front_left=50))
    assert service.asked[-1][1]


def test_a_car_that_stands_may_see_the_same_for_ever() -> None:
    service = EchoService()
    pilot = Pilot(service)
    for _ in range(FROZEN_DECISIONS + 5):
        pilot(situation(shade=5))
    assert all(files for _, files in service.asked)


def test_without_an_answer_it_brakes() -> None:
    pilot = Pilot(EchoService(status=429))
    assert pilot(situation()) == (0, 0, FALLBACK_BRAKE)
    assert (pilot.failed, pilot.braked) == (1, 1)


def test_where_nobody_answers_it_brakes_and_after_a_second_gives_up() -> None:
    service = EchoService(status=NO_ANSWER)
    pilot = Pilot(service)
    assert [pilot(situation()) for _ in range(GIVE_UP - 1)] == [(0, 0, FALLBACK_BRAKE)] * (GIVE_UP - 1)
    service.status = 200
    assert pilot(situation()).gas == 0.5  # it came back in time
    service.status = NO_ANSWER
    for _ in range(GIVE_UP - 1):
        pilot(situation())
    with pytest.raises(ConfigError, match="not answered 25 times in a row"):
        pilot(situation())


def test_an_answer_that_is_no_number_is_braked_upon() -> None:
    pilot = Pilot(EchoService(brake=None))
    assert pilot(situation()) == (0, 0, FALLBACK_BRAKE)
    assert pilot.failed == 1


def test_it_brakes_once_answers_are_doubted_for_long_and_steers_on() -> None:
    service = EchoService(trusted=False)
    pilot = Pilot(service)
    actions = [pilot(situation(tick=2 * place, yaw_rate=0.25)) for place in range(PATIENCE)]
    assert actions[:-1] == [(0.25, 0.5, 0)] * (PATIENCE - 1)
    assert actions[-1] == (0.25, 0, FALLBACK_BRAKE)
    service.trusted = True
    later = [pilot(situation(tick=2 * place)).gas for place in range(PATIENCE, PATIENCE + LOOK_BACK)]
    # The first doubt is forgotten a second after it came.
    assert later == [0] * (LOOK_BACK - PATIENCE) + [0.5] * PATIENCE
    assert (pilot.doubted, pilot.braked) == (PATIENCE, 1 + LOOK_BACK - PATIENCE)
    service.trusted = False
    assert pilot(situation(tick=0)).gas == 0.5
    stubborn = Pilot(EchoService(trusted=False), Manners(fallback=False))
    assert all(stubborn(situation()).gas == 0.5 for _ in range(PATIENCE + 1))


@pytest.mark.parametrize(("brake", "done"), [(0.04, (0.5, 0)), (0.4, (0.5, 0)), (0.6, (0, 0.6))])
def test_gas_and_brake_are_never_pressed_together(brake: float, done: tuple[float, float]) -> None:
    assert Pilot(EchoService(brake=brake))(situation())[1:] == done
