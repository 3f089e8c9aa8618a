"""Readings to windows, and what is out of range."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batch import OutOfRange
from models.config import SensorPreprocessing
from models.errors import ConfigError, InputError
from models.preprocess import Preprocessors
from models.preprocess.sensors import SensorPreprocessor
from models.sample import Sample
from tests.four import CHANNELS, preprocessing_of
from tests.gauges import readings
from tests.tiny import tiny_tokenizer


def prepared(steps: int, **channels: object) -> dict[str, np.ndarray[Any, Any]]:
    arrays = SensorPreprocessor(SensorPreprocessing(steps=steps, channels=CHANNELS)).prepare(
        Sample(sensors=readings(**channels))
    )
    assert arrays is not None
    return arrays


def test_readings_are_in_deviations_and_the_newest_stand_last() -> None:
    arrays = prepared(3, speed=[99, 2, 5, 8], turn=[0.5, None], wheel=140)
    # (2, 5, 8 - 5) / 3; (0.5 - 0) / 0.5; (140 - 100) / 20
    assert arrays["values"].tolist() == [[-1, 0, 0], [0, 1, 0], [1, 0, 2]]
    assert arrays["known"].tolist() == [[True, False, False], [True, True, False], [True, False, True]]
    assert arrays["values"].dtype == np.float32


def test_far_readings_grow_by_their_logarithm_and_are_never_cut_off() -> None:
    near = prepared(1, turn=3)["values"][0, 1]
    assert near == 6
    assert prepared(1, turn=-3.5)["values"][0, 1] == pytest.approx(-6 - np.log(2))
    far = [prepared(1, turn=value)["values"][0, 1] for value in (5, 1e3, 1e300, 1.7e308)]
    assert all(np.isfinite(far))
    assert near < far[0] < far[1] < far[2] < 1000


@given(st.floats(-1e308, 1e308), st.floats(-1e308, 1e308))
def test_a_larger_reading_is_never_a_smaller_value(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert prepared(1, turn=low)["values"][0, 1] <= prepared(1, turn=high)["values"][0, 1]


def test_an_unknown_channel_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown channel 'sped'; did you mean 'speed'"):
        prepared(1, sped=1)
    with pytest.raises(InputError, match="unknown channel 'x'; there are: speed, turn, wheel"):
        prepared(1, x=1)


def test_a_window_whose_newest_steps_are_gaps_is_absent() -> None:
    preprocessors = Preprocessors(preprocessing_of(2), tiny_tokenizer())
    sample = Sample(text="a", sensors=readings(speed=[1, None, None]))
    assert preprocessors.prepare(sample).modalities == ("text",)
    with pytest.raises(InputError, match="no input that this model knows"):
        preprocessors.prepare(Sample(sensors=readings(speed=[1, None, None])))


def out_of_range(steps: int = 4, **channels: object) -> dict[str, OutOfRange]:
    preprocessors = Preprocessors(preprocessing_of(steps), tiny_tokenizer())
    return dict(preprocessors.prepare(Sample(sensors=readings(**channels))).out_of_range)


def test_the_farthest_reading_out_of_range_is_told_with_its_bounds() -> None:
    assert out_of_range(speed=10, turn=-1, wheel=0) == {}
    assert out_of_range(speed=[12, -3, None, 5], turn=1.5, wheel=1e9) == {
        "speed": OutOfRange(-3.0, 0.0, 10.0),
        "turn": OutOfRange(1.5, -1.0, 1.0),
    }
    assert out_of_range(wheel=-1) == {"wheel": OutOfRange(-1.0, 0.0, None)}


def test_steps_that_the_window_has_no_room_for_do_not_count() -> None:
    assert out_of_range(speed=[99, 1, 2, 3, 4]) == {}
    assert out_of_range(speed=[99, None, None, None, None], turn=0) == {}


def test_a_range_that_is_empty_is_told() -> None:
    with pytest.raises(ConfigError, match=r"low \(2\) must be at most high \(1\)"):
        SensorPreprocessing.parse({"channels": {"a": {"low": 2, "high": 1}}}, "x")
