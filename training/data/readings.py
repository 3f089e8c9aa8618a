"""Sensor readings of a manifest's rows: channels and scales, learnt from train, and the windows of a batch.

# N rows of the manifest, n rows that have readings, T steps, C channels"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from models.batch import Arrays
from models.columns import Columns
from models.config import SensorChannel, SensorPreprocessing
from models.errors import InputError, ManifestError
from models.nets.encoders.sensors import SensorReadings
from models.preprocess.sensors import SensorPreprocessor
from models.sample import Sample
from training.augmentation import Augmentation
from training.data.pairs import Pairs, Rows

LARGEST = 1e150
"""Of a reading to learn from: its square, which a deviation is made of, is still a number."""


class SensorRows:
    """The windows of all rows that have readings, prepared by the trunk and kept in memory."""

    def __init__(self, pairs: Pairs, config: SensorPreprocessing) -> None:
        """Prepare all rows.

        Raises:
            ManifestError: naming each row with a channel that there is none of.
        """
        self._preprocessor = SensorPreprocessor(config)
        self._windows: dict[int, Arrays] = {}
        faults = []
        for row, record in enumerate(pairs.records):
            try:
                arrays = self._preprocessor.prepare(Sample(sensors=record.sensors))
            except InputError as error:
                faults.append(f"{pairs.path.name}:{record.row}: {error}")
                continue
            if arrays is not None:
                self._windows[row] = arrays
        if faults:
            raise ManifestError(faults)
        self.has_N = np.array([row in self._windows for row in range(len(pairs.records))], dtype=bool)
        # Rows with equal windows are no negatives of one another.
        numbers: dict[bytes, int] = {}
        self.number_of_N = np.array([self._number(row, numbers) for row in range(len(pairs.records))])

    def plain(self, rows: Rows) -> SensorReadings:
        """The windows of rows that have one, as they are."""
        arrays = self._preprocessor.collate([self._windows[int(row)] for row in rows])
        known_nTC = torch.from_numpy(arrays["known"])
        return SensorReadings(torch.from_numpy(arrays["values"]), known_nTC)

    def augmented(self, rows: Rows, config: Augmentation, generator: torch.Generator) -> SensorReadings:
        """With noise, and some channels and steps missing; of each row something is left."""
        values_nTC, known_nTC = self.plain(rows)
        count, steps, channels = values_nTC.shape
        if config.sensor_noise:
            values_nTC = values_nTC + config.sensor_noise * torch.randn(values_nTC.shape, generator=generator)
        gone_nTC = torch.rand(count, 1, channels, generator=generator) < config.sensor_channel_dropout
        gone_nTC = gone_nTC | (torch.rand(count, steps, 1, generator=generator) < config.sensor_step_dropout)
        left_nTC = known_nTC & ~gone_nTC
        kept_n11 = left_nTC.flatten(1).any(1)[:, None, None]
        return SensorReadings(values_nTC, torch.where(kept_n11, left_nTC, known_nTC))

    def _number(self, row: int, numbers: dict[bytes, int]) -> int:
        if row not in self._windows:
            return -1
        window = self._windows[row]
        return numbers.setdefault(window["values"].tobytes() + window["known"].tobytes(), len(numbers))


def find_channels(
    pairs: Pairs, columns: Columns, config: SensorPreprocessing, known: Mapping[str, SensorChannel] | None = None
) -> SensorPreprocessing:
    """The preprocessing with its channels, their means, deviations and ranges, of all steps of the training rows.

    The recipe's channels come first, then those that have a column of their own; where it names none, all that
    occur in train. A range that the recipe names stays.

    Args:
        pairs: the rows with their splits.
        columns: of the recipe.
        config: of the recipe.
        known: of a version to start from: channels that keep their scale, for its encoder knows them by it.

    Raises:
        ManifestError: naming each channel that has no reading in train.
    """
    train = [pairs.records[row].sensors or {} for row in pairs.rows("train")]
    own = columns.sensors if isinstance(columns.sensors, dict) else {}
    names = [*config.channels, *own] or [name for readings in train for name in readings]
    order = {name: place for place, name in enumerate(known or {})}
    names.sort(key=lambda name: order.get(name, len(order)))  # an encoder knows its channels by their place
    channels: dict[str, SensorChannel] = {}
    faults = []
    for name in dict.fromkeys(names):
        parts = [readings[name] for readings in train if name in readings]
        values = np.concatenate(parts) if parts else np.zeros(0)
        values = values[~np.isnan(values)]
        if not len(values):
            faults.append(
                f"{pairs.path.name}: sensors: channel {name!r} has no reading in train. Remove it from the recipe."
            )
            continue
        if (largest := float(np.abs(values).max())) > LARGEST:
            faults.append(
                f"{pairs.path.name}: sensors: channel {name!r} has a reading of {largest:g} in train, which no "
                f"scale has room for. Leave it out, as a gap, or use another unit: {LARGEST:g} is the most."
            )
            continue
        channel = _scaled(config.channels.get(name, SensorChannel()), values, config.margin)
        channels[name] = channel if known is None or name not in known else _kept(channel, known[name])
    if not channels and not faults:
        faults.append(f"{pairs.path.name}: sensors: no row of train has a reading. Remove the column.")
    if faults:
        raise ManifestError(faults)
    return config.model_copy(update={"channels": channels})


def _kept(channel: SensorChannel, theirs: SensorChannel) -> SensorChannel:
    """In their scale, which an encoder knows; the range is of both trainings."""
    lows, highs = ([getattr(one, side) for one in (channel, theirs)] for side in ("low", "high"))
    return channel.model_copy(
        update={
            "mean": theirs.mean,
            "std": theirs.std,
            "low": None if None in lows else min(lows),
            "high": None if None in highs else max(highs),
        }
    )


def _scaled(channel: SensorChannel, values: NDArray[np.float64], margin: float) -> SensorChannel:
    low, high = float(values.min()), float(values.max())
    room = margin * (high - low)
    # Summing rounds: of equal numbers too the deviation may be a little more than nothing, and then any other
    # number would be billions of deviations away. A channel that never changed says nothing, in any scale.
    mean, std = (low, 1.0) if low == high else (float(values.mean()), float(values.std()))
    return channel.model_copy(
        update={
            "mean": mean,
            "std": std or 1.0,
            "low": low - room if channel.low is None else channel.low,
            "high": high + room if channel.high is None else channel.high,
        }
    )
