"""Readings to a window of steps by channels, in deviations of the training rows, and which of them are known.

Beyond SOFT deviations a value grows by its logarithm: nothing is cut off, and nothing is so large that it would
drown the rest. What is out of range is told.

# T steps of the window, C channels, t steps of one channel, n rows"""

import difflib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.batch import Arrays, OutOfRange
from models.config import SensorPreprocessing
from models.errors import InputError
from models.sample import Readings, Sample

SOFT = 6.0
"""Deviations. Training rows hardly ever lie beyond, so a network knows nothing of what is there."""

LARGEST = 1e300
"""What infinity is made, before its logarithm is taken: float64 holds little more."""


class SensorPreprocessor:
    """The newest `steps` of each channel that is known, side by side; a shorter one begins with gaps."""

    def __init__(self, config: SensorPreprocessing) -> None:
        self.config = config
        self._places = {name: place for place, name in enumerate(config.channels)}
        self._mean_C = np.array([channel.mean for channel in config.channels.values()])
        self._std_C = np.array([channel.std for channel in config.channels.values()])

    def prepare(self, sample: Sample) -> Arrays | None:
        """`values`: (T, C) float32, 0 where a reading is missing; `known`: (T, C) bool. None without any.

        Raises:
            InputError: a channel that the model does not have.
        """
        if sample.sensors is None:
            return None
        raw_TC = self._window(sample.sensors)
        known_TC = ~np.isnan(raw_TC)
        if not known_TC.any():
            return None
        with np.errstate(over="ignore"):
            scaled_TC = np.where(known_TC, (raw_TC - self._mean_C) / self._std_C, 0.0).clip(-LARGEST, LARGEST)
        beyond_TC = np.maximum(np.abs(scaled_TC) - SOFT, 0.0)
        soft_TC = np.where(beyond_TC > 0, np.sign(scaled_TC) * (SOFT + np.log1p(beyond_TC)), scaled_TC)
        return {"values": soft_TC.astype(np.float32), "known": known_TC}

    def collate(self, items: Sequence[Arrays]) -> Arrays:
        """`values` (n, T, C) and `known` (n, T, C)."""
        return {name: np.stack([item[name] for item in items]) for name in ("values", "known")}

    def cost(self, arrays: Arrays) -> int:
        """Readings that the window has room for."""
        return int(arrays["values"].size)

    def out_of_range(self, readings: Readings) -> dict[str, OutOfRange]:
        """By channel, of the steps that are looked at, the reading that is farthest out of the channel's range."""
        found: dict[str, OutOfRange] = {}
        for name, channel in self.config.channels.items():
            if name not in readings:
                continue
            newest_t = readings[name][-self.config.steps :]
            low = -math.inf if channel.low is None else channel.low
            high = math.inf if channel.high is None else channel.high
            distance_t = np.fmax(np.fmax(low - newest_t, newest_t - high), 0.0)
            if distance_t.max() > 0:
                value = float(newest_t[distance_t.argmax()])
                found[name] = OutOfRange(value, channel.low, channel.high)
        return found

    def _window(self, readings: Readings) -> NDArray[np.float64]:
        window_TC = np.full((self.config.steps, len(self._places)), np.nan)
        for name, own_t in readings.items():
            newest_t = own_t[-self.config.steps :]
            window_TC[self.config.steps - len(newest_t) :, self._place(name)] = newest_t
        return window_TC

    def _place(self, name: str) -> int:
        if (place := self._places.get(name)) is not None:
            return place
        near = difflib.get_close_matches(name, self._places, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self._places)[:400]}."
        raise InputError("sensors", f"unknown channel {name!r}; {hint}")
