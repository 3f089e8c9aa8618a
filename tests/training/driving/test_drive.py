import io

import pytest
from PIL import Image

from tests.tiny import Recorder
from training.driving.commands import Verdict
from training.driving.drive import Driven, drive, percentiles, summary, wilson
from training.driving.episode import Step
from training.driving.pictures import film, track_map
from training.driving.simulator import Action, Simulator


def driven(reward: float, *verdicts: Verdict, expert: float = 900) -> Driven:
    return Driven(1, reward, expert, 500, True, 50, list(verdicts), [], [])


def test_figures_are_of_all_tracks() -> None:
    obeyed, late = Verdict("stop", 100, 20, 1.0), Verdict("left", 300, None, 0.0)
    found = summary([driven(900, obeyed), driven(810, obeyed, late)], [0.010] * 98 + [0.030] * 2)
    assert found["reward"] == {"mean": 855, "std": 63.6, "standard_error": 45, "least": 810}
    assert found["ratio"] == 0.95
    assert found["tracks_of_900"] == 1
    assert found["off_road_share"] == 0.1
    assert found["obeyed"]["all"]["share"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["obeyed"]["stop"]["obeyed"] == 2
    assert found["obeyed"]["up"] == {"given": 0, "obeyed": 0, "share": None, "interval_95": [0.0, 1.0]}
    assert found["answer_ms"] == {"p50": 10, "p90": 10, "p99": 30}


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentiles([]) == {}


def test_the_interval_of_a_share_is_wilsons() -> None:
    # 8 of 10, z = 1.96: centre (0.8 + 0.19208) / 1.38416, half 1.96 / 1.38416 * sqrt(0.016 + 0.009604).
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(10, 10)[0] == pytest.approx(0.7225, abs=1e-4)


def test_a_pilot_who_does_what_the_expert_wishes_has_its_reward() -> None:
    progress = Recorder()
    simulator = Simulator(drawing=False)
    [one] = drive([3], lambda now: now.wish, progress, commanded=True, simulator=simulator, num_films=1)
    assert one.reward == one.expert_reward
    assert all(verdict.obeyed for verdict in one.verdicts)
    assert len(one.frames) == (len(one.path) + 1) // 2


def test_a_pilot_who_stands_wins_nothing() -> None:
    simulator = Simulator(drawing=False)
    brake = Action(steer=0, gas=0, brake=1)
    [one] = drive([3], lambda _: brake, Recorder(), commanded=False, simulator=simulator)
    assert one.reward < 0
    assert one.expert_reward > 900


def test_a_film_has_its_frames_and_a_map_is_a_picture() -> None:
    steps = [Step(tick, "go" if tick < 4 else "stop", tick, 0, 10, Action(0, 0, 0)) for tick in range(6)]
    one = Driven(1, 9, 9, 6, False, 0, [], steps, [[0, 0], [5, 0], [5, 5]])
    one.frames = [(Image.new("RGB", (96, 96), (shade, 0, 0)), "go") for shade in (0, 100, 200)]
    gif = Image.open(io.BytesIO(film(one)))
    assert gif.format == "GIF"
    assert gif.n_frames == 3  # type: ignore[attr-defined]
    assert gif.size == (192, 192)
    assert Image.open(io.BytesIO(track_map(one))).format == "PNG"
