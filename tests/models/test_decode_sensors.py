"""Objects of JSON to readings."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decode_sensors import SensorLimits, decode_sensors
from models.errors import InputError, TooLargeError


def decoded(value: Any) -> dict[str, list[float | None]]:
    found = decode_sensors(value)
    assert found is not None
    return {name: [None if math.isnan(x) else x for x in part] for name, part in found.items()}


def test_a_number_is_one_step_and_a_list_several_with_gaps() -> None:
    assert decoded({"speed": 3, "turn": [0.5, None, -1], "wheel": None}) == {
        "speed": [3.0],
        "turn": [0.5, None, -1.0],
    }


@pytest.mark.parametrize("value", [{}, {"a": None}, {"a": []}, {"a": [None, None], "b": math.nan}])
def test_nothing_but_gaps_is_no_readings_at_all(value: dict[str, Any]) -> None:
    assert decode_sensors(value) is None


@pytest.mark.parametrize("value", [[1, 2], "a", 3, True, None])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="must be an object of readings by channel"):
        decode_sensors(value)


@pytest.mark.parametrize("value", ["3", True, [1, "2"], [[1]], {"x": 1}, math.inf, [-math.inf], 10**400])
def test_what_is_no_finite_number_is_refused_with_its_channel(value: object) -> None:
    with pytest.raises(InputError, match=r"'speed' has .* no finite number"):
        decode_sensors({"speed": value})


def test_too_much_is_refused() -> None:
    limits = SensorLimits(max_channels=2, max_steps=3)
    assert decode_sensors({"a": [1, 2, 3], "b": 1}, limits=limits) is not None
    with pytest.raises(TooLargeError, match="3 channels; the limit is 2"):
        decode_sensors({"a": 1, "b": 1, "c": None}, limits=limits)
    with pytest.raises(TooLargeError, match="'a' has 4 steps; the limit is 3"):
        decode_sensors({"a": [1, 2, 3, 4]}, limits=limits)
    for name in ("", "x" * 65):
        with pytest.raises(InputError, match="1 to 64 characters"):
            decode_sensors({name: 1})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


@given(_JSON)
def test_any_json_gives_readings_or_a_remedy(value: object) -> None:
    try:
        found = decode_sensors(value)
    except InputError as error:
        assert error.field == "sensors"  # noqa: PT017
        return
    for part in (found or {}).values():
        assert not np.isinf(part).any()
        assert not np.isnan(part).all()
