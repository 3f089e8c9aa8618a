"""Windows of a batch: augmented within bounds, and scales of a version to start from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.columns import Columns
from models.config import SensorChannel, SensorPreprocessing
from models.errors import ManifestError
from models.nets.encoders.sensors import SensorReadings
from tests.gauges import gauge_recipe, write_readings
from training.augmentation import Augmentation
from training.data.pairs import Pairs, load_pairs
from training.data.readings import SensorRows, find_channels

COLUMNS = gauge_recipe().data.columns
ONE = Columns(sensors={"speed": "speed"}, split="split")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    path: Path = write_readings(tmp_path_factory.mktemp("data"))
    return load_pairs(path, COLUMNS, seed=0, val=0.1, test=0.1)


@pytest.fixture(scope="module")
def rows(pairs: Pairs) -> SensorRows:
    return SensorRows(pairs, find_channels(pairs, COLUMNS, SensorPreprocessing()))


def augmented(rows: SensorRows, **changes: Any) -> SensorReadings:
    values = {"sensor_noise": 0.0, "sensor_channel_dropout": 0.0, **changes}
    return rows.augmented(np.arange(60), Augmentation(**values), torch.Generator().manual_seed(0))


def test_training_rows_have_a_mean_of_0_and_a_deviation_of_1(pairs: Pairs, rows: SensorRows) -> None:
    values, known = rows.plain(pairs.rows("train"))
    for channel in range(2):
        own = values[:, 0, channel][known[:, 0, channel]]
        assert float(own.mean()) == pytest.approx(0, abs=1e-6)
        assert float(own.std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_without_noise_and_dropout_nothing_changes(rows: SensorRows) -> None:
    plain, same = rows.plain(np.arange(60)), augmented(rows)
    assert torch.equal(plain.values_nTC, same.values_nTC)
    assert torch.equal(plain.known_nTC, same.known_nTC)


def test_noise_has_its_deviation_and_makes_no_gap(rows: SensorRows) -> None:
    plain, noisy = rows.plain(np.arange(60)), augmented(rows, sensor_noise=0.5)
    assert 0.4 < float((noisy.values_nTC - plain.values_nTC).std()) < 0.6
    assert torch.equal(plain.known_nTC, noisy.known_nTC)


@pytest.mark.parametrize("kind", ["sensor_channel_dropout", "sensor_step_dropout"])
def test_dropout_makes_gaps_but_leaves_something_of_each_row(rows: SensorRows, kind: str) -> None:
    plain, holes = rows.plain(np.arange(60)), augmented(rows, **{kind: 0.6})
    assert holes.known_nTC.flatten(1).any(1).all()
    assert not (holes.known_nTC & ~plain.known_nTC).any()
    if kind == "sensor_channel_dropout":
        assert holes.known_nTC.sum() < 0.9 * plain.known_nTC.sum()
    else:  # of one step, a dropped one would leave nothing
        assert torch.equal(holes.known_nTC, plain.known_nTC)


def test_a_version_to_start_from_gives_scales_and_order_and_ranges_are_joined(pairs: Pairs) -> None:
    known = {
        "turn": SensorChannel(mean=7, std=2, low=-5, high=0.5),
        "speed": SensorChannel(mean=1, std=4, low=3, high=99),
    }
    found = find_channels(pairs, COLUMNS, SensorPreprocessing(), known).channels
    assert list(found) == ["turn", "speed"]
    assert (found["turn"].mean, found["turn"].std) == (7, 2)
    assert found["turn"].low == -5
    assert found["turn"].high is not None
    assert found["turn"].high > 0.9
    assert (found["speed"].mean, found["speed"].std, found["speed"].high) == (1, 4, 99)


def pairs_of(folder: Path, *speeds: str) -> Pairs:
    path = folder / "rows.csv"
    path.write_text("\n".join(["speed,split", *(f"{speed},train" for speed in speeds)]) + "\n")
    return load_pairs(path, ONE, seed=0, val=0.0, test=0.0)


def test_a_channel_that_never_changes_has_a_scale_however_it_is_rounded(tmp_path: Path) -> None:
    # Of three times 0.1 the mean is not 0.1, and the deviation is 1e-17.
    found = find_channels(pairs_of(tmp_path, "0.1", "0.1", "0.1"), ONE, SensorPreprocessing())
    assert (found.channels["speed"].mean, found.channels["speed"].std) == (0.1, 1)


@pytest.mark.parametrize("speed", ["1e200", "-1e308"])
def test_a_reading_that_no_scale_has_room_for_is_told(tmp_path: Path, speed: str) -> None:
    with pytest.raises(ManifestError, match=r"rows.csv: sensors: channel 'speed' has a reading of 1e\+"):
        find_channels(pairs_of(tmp_path, "1", speed, "2"), ONE, SensorPreprocessing())


def test_rows_of_equal_windows_have_the_same_number(rows: SensorRows) -> None:
    assert len(set(rows.number_of_N.tolist())) == 60
