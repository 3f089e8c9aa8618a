"""Whole runs on readings alone, and readings in both engines."""

from pathlib import Path

import numpy as np
import pytest

from models.batch import OutOfRange
from models.checkpoint import read_checkpoint
from models.config import FusionName
from models.errors import ManifestError
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from tests.four import KINDS, SAMPLES, four_checkpoint
from tests.gauges import gauge_recipe, readings, window_recipe, write_readings, write_windows
from tests.tiny import Recorder
from training import run
from training.recipe import Recipe


def train(data: Path, recipe: Recipe, folder: Path) -> Predictor:
    version = run.train(recipe, run.Options(data, folder / "out", folder / "work"), Recorder())
    assert version is not None
    return load_predictor(read_checkpoint(version))


@pytest.fixture(scope="module")
def gauges(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("gauges")
    return train(write_readings(folder / "data"), gauge_recipe(), folder)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("windows")
    return train(write_windows(folder / "data"), window_recipe(), folder)


def gear(predictor: Predictor, **channels: object) -> str:
    [found] = predictor.predict([predictor.prepare(Sample(sensors=readings(**channels)))])
    return predictor.config.network.classes["gear"].labels[int(found.scores["gear"].argmax())]


def test_readings_are_learnt_and_one_that_is_missing_does_not_matter(gauges: Predictor) -> None:
    assert gear(gauges, speed=9, turn=0.1) == gear(gauges, speed=9) == "high"
    assert gear(gauges, speed=1, turn=0.1) == gear(gauges, speed=1) == "low"
    [found] = gauges.predict([gauges.prepare(Sample(sensors=readings(speed=4, turn=0)))])
    value = found.values["pull"]
    assert value.std is not None
    assert abs(value.value - 13) < 3


def test_windows_are_learnt_by_their_newest_step(windows: Predictor) -> None:
    assert gear(windows, v=[1, 1, 1, 9], turn=[0, 0, 0, 0]) == "high"
    assert gear(windows, v=[9, 9, 9, 1]) == "low"


def test_scales_and_ranges_of_the_training_rows_are_kept(gauges: Predictor, tmp_path: Path) -> None:
    sensors = gauges.config.preprocessing.sensors
    assert sensors is not None
    assert list(sensors.channels) == ["speed", "turn"]
    speed = sensors.channels["speed"]
    lines = write_readings(tmp_path).read_text().splitlines()[1:]
    train = np.array([float(line.split(",")[0]) for line in lines if line.endswith("train")])
    room = 0.1 * (train.max() - train.min())
    assert speed.unit == "m/s"
    assert (speed.mean, speed.std) == pytest.approx((train.mean(), train.std()))
    assert (speed.low, speed.high) == pytest.approx((train.min() - room, train.max() + room))
    [found] = gauges.predict([gauges.prepare(Sample(sensors=readings(speed=500, turn=0)))])
    assert found.out_of_range == {"speed": OutOfRange(500.0, speed.low, speed.high)}
    assert np.isfinite(found.embedding_E).all()


def test_a_range_of_the_recipe_s_own_stays_and_a_channel_that_never_changes_has_a_scale(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"{n % 5},7,{'ab'[n % 2]},{'val' if n > 15 else 'train'}" for n in range(20)]
    path.write_text("v,still,kind,split\n" + "\n".join(lines) + "\n")
    recipe = gauge_recipe(
        data={"columns": {"sensors": ["v", "still"], "labels": ["kind"], "split": "split"}},
        preprocessing={"sensors": {"channels": {"v": {"low": -100, "high": 100}}}},
        network={"width": 8, "sensors": {}},
    )
    sensors = run.with_channels(recipe, run.read(recipe, path)).preprocessing.sensors
    assert sensors is not None
    assert (sensors.channels["v"].low, sensors.channels["v"].high) == (-100, 100)
    still = sensors.channels["still"]
    assert (still.mean, still.std, still.low, still.high) == (7, 1, 7, 7)


def test_faults_of_channels_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    data = write_windows(tmp_path)
    told = window_recipe(preprocessing={"sensors": {"channels": {"v": {}, "spin": {}}}})
    with pytest.raises(ManifestError, match="channel 'spin' has no reading in train"):
        run.check(told, data, Recorder())
    few = window_recipe(preprocessing={"sensors": {"channels": {"turns": {}, "v": {}}}})
    with pytest.raises(ManifestError, match="channel 'turns' has no reading in train"):
        run.check(few, data, Recorder())
    only = window_recipe(preprocessing={"sensors": {"channels": {"v": {}}}})
    with pytest.raises(ManifestError, match=r"drive.jsonl:1: sensors: unknown channel 'turn'; there are: v"):
        run.check(only, data, Recorder())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fusion", ["gated", "cross_attention"])
def test_readings_are_the_same_on_both_engines_and_in_any_batch(kind: str, fusion: FusionName) -> None:
    checkpoint = four_checkpoint(kind, fusion)
    onnx, torch = (load_predictor(checkpoint, engine=engine) for engine in ("onnx", "torch"))
    examples = [onnx.prepare(sample) for sample in SAMPLES]
    together, other = onnx.predict(examples), torch.predict(examples)
    for example, left, right in zip(examples, together, other, strict=True):
        [alone] = onnx.predict([example])
        for one in (right, alone):
            np.testing.assert_allclose(left.embedding_E, one.embedding_E, rtol=0, atol=1e-4)
            for head, value in left.values.items():
                assert value.value == pytest.approx(one.values[head].value, abs=1e-4)
    assert np.abs(together[1].embedding_E - together[2].embedding_E).max() > 1e-3
