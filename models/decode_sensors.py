"""A value of JSON, or a row's cells, to readings: the one place where sensors are read, for both roads.

Knows numbers and gaps; knows no model's channels."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError, TooLargeError
from models.sample import Readings

SENSOR_REMEDY = 'Write, say, {"speed": 12.5, "yaw_rate": [0.1, 0.2, null]}: the newest last, null for a gap.'
MAX_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorLimits:
    """What is refused: so many channels, and so many steps of one."""

    max_channels: int = 256
    max_steps: int = 4096


def decode_sensors(
    value: object, *, limits: SensorLimits | None = None, field: str = "sensors"
) -> Readings | None:
    """Readings of an object of channel → number, list of numbers, or null.

    Args:
        value: as JSON has it; NaN is a gap, as null is.
        limits: what is refused; SensorLimits() where none are given.
        field: named in errors.

    Returns:
        The channels that have a reading; None where none has.

    Raises:
        InputError: no such object, or a reading that is no finite number.
        TooLargeError: more channels or steps than the limits.
    """
    limits = limits or SensorLimits()
    if not isinstance(value, Mapping):
        raise InputError(field, f"must be an object of readings by channel. {SENSOR_REMEDY}")
    if len(value) > limits.max_channels:
        raise TooLargeError(field, f"{len(value):,} channels; the limit is {limits.max_channels:,}. Send fewer.")
    found = {str(name): _channel(str(name), part, limits, field) for name, part in value.items()}
    return {name: part_t for name, part_t in found.items() if not np.isnan(part_t).all()} or None


def encode_sensors(readings: Readings) -> bytes:
    """What a gallery keeps of readings: JSON, from which `decode_sensors` makes them again."""
    found = {
        name: steps[0] if len(steps) == 1 else steps
        for name, own_t in readings.items()
        if (steps := [None if math.isnan(step) else step for step in own_t.tolist()])
    }
    return json.dumps(found, separators=(",", ":"), allow_nan=False).encode()


def _channel(name: str, value: object, limits: SensorLimits, field: str) -> NDArray[np.float64]:
    if not name or len(name) > MAX_NAME:
        raise InputError(field, f"a channel's name has 1 to {MAX_NAME} characters. {SENSOR_REMEDY}")
    steps = value if isinstance(value, list) else [value]
    if len(steps) > limits.max_steps:
        raise TooLargeError(
            field, f"{name!r} has {len(steps):,} steps; the limit is {limits.max_steps:,}. Send the newest."
        )
    return np.array([_reading(name, step, field) for step in steps] or [math.nan], dtype=np.float64)


def _reading(name: str, value: object, field: str) -> float:
    if value is None:
        return math.nan
    number = math.inf
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if math.isinf(number):
        shown = repr(value)[:40]
        raise InputError(field, f"{name!r} has {shown}, which is no finite number. {SENSOR_REMEDY}")
    return number
