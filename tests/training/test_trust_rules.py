"""Predicted uncertainty that is right, for several numbers at once, and limits that validation rows set on it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.checkpoint import read_checkpoint
from models.errors import ConfigError
from models.manifest import Record
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from models.trust import TrustRules
from tests.gauges import gauge_recipe, readings
from tests.tiny import Recorder, tiny_checkpoint
from training import run
from training.measures.outputs import SubsetOutput
from training.measures.passes import run_subsets
from training.measures.trust_limits import SURE, fit_limits
from training.recipe import Recipe


def noisy_recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "data": {"columns": {"sensors": ["speed"], "targets": ["far", "near"], "split": "split"}},
        "preprocessing": {"sensors": {}},
        "network": {
            "width": 16,
            "sensors": {"hidden": 16, "dropout": 0.0},
            "targets": {"far": {"uncertainty": True}, "near": {"uncertainty": True, "unit": "m"}},
        },
        "stages": {"joint": {"epochs": 30, "batch_size": 64, "learning_rate": 0.01, "ema_decay": 0.9}},
        "gallery": {"max_items": 0},
        "augmentation": {"sensor_noise": 0.0, "sensor_channel_dropout": 0.0},
        "trust": {"needs": ["sensors"], "share": 0.02},
    }
    return gauge_recipe(**{**values, **changes})


def write_noisy(folder: Path) -> Path:
    """Two numbers: one is noisier the faster it goes (deviation 5 speed), the other always alike (1)."""
    rng = np.random.default_rng(0)
    lines = ["speed,far,near,split"]
    for number in range(1200):
        speed = rng.uniform(0.5, 2)
        far, near = rng.normal(10 * speed, 5 * speed), rng.normal(-3 * speed, 1)
        split = ("train", "train", "train", "train", "val", "test")[number % 6]
        lines.append(f"{speed:.4f},{far:.4f},{near:.4f},{split}")
    path = folder / "noisy.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noisy")
    options = run.Options(write_noisy(folder), folder / "out", folder / "work")
    found = run.train(noisy_recipe(), options, Recorder())
    assert found is not None
    return found


@pytest.fixture(scope="module")
def predictor(version: Path) -> Predictor:
    return load_predictor(read_checkpoint(version))


def stds(predictor: Predictor, speed: float) -> dict[str, float]:
    [found] = predictor.predict([predictor.prepare(Sample(sensors=readings(speed=speed)))])
    return {head: value.std or 0.0 for head, value in found.values.items()}


def test_each_of_several_numbers_has_a_deviation_of_its_own_that_is_right(predictor: Predictor) -> None:
    slow, fast = stds(predictor, 0.7), stds(predictor, 1.8)
    assert slow["near"] == pytest.approx(1, rel=0.25)
    assert fast["near"] == pytest.approx(1, rel=0.25)
    assert slow["far"] == pytest.approx(3.5, rel=0.3)
    assert fast["far"] == pytest.approx(9, rel=0.3)


def test_nine_in_ten_test_rows_lie_within_the_interval_of_nine_in_ten(version: Path) -> None:
    figures = json.loads((version / "metrics.json").read_text())["test"]["sensors"]
    for head in ("far", "near"):
        assert figures[head]["count"] == 200
        assert 0.83 <= figures[head]["coverage_90"]["covered"] <= 0.97  # 0.9, within three deviations


def test_limits_are_what_so_large_a_share_of_the_validation_rows_is_beyond(predictor: Predictor) -> None:
    rules = predictor.config.trust
    assert rules is not None
    assert rules.needs == ("sensors",)
    assert set(rules.stds) == {"far", "near"}
    limit = rules.stds["far"]["sensors"]
    assert stds(predictor, 1.9)["far"] < limit < 1.2 * stds(predictor, 2.0)["far"]
    [usual] = predictor.predict([predictor.prepare(Sample(sensors=readings(speed=1.2)))])
    assert predictor.doubts(usual) == ()
    [far] = predictor.predict([predictor.prepare(Sample(sensors=readings(speed=4)))])
    kinds = [(doubt.kind, doubt.about) for doubt in predictor.doubts(far) or ()]
    assert kinds[0] == ("out_of_range", "speed")
    assert ("uncertain", "far") in kinds


def test_heads_that_do_not_count_have_no_limit(predictor: Predictor) -> None:
    outputs = run_subsets(predictor, [Record(row=1, id="1", sensors=readings(speed=1))], Recorder())
    for rules, expected in ((TrustRules(heads=("near",)), {"near"}), (TrustRules(), {"far", "near"})):
        found = fit_limits(rules, outputs, predictor.config)
        assert found is not None
        assert set(found.stds) == expected


def test_a_sure_score_is_within_every_limit() -> None:
    config = tiny_checkpoint().config
    head = config.network.single_label_heads[0]
    logits_nC = np.zeros((50, len(config.network.classes[head].labels)), dtype=np.float32)
    for lead, limit in ((30.0, SURE), (1.0, None)):
        logits_nC[:, 0] = lead
        outputs = {"text": SubsetOutput(np.arange(50), {head: logits_nC}, np.zeros((50, 2), dtype=np.float32))}
        found = fit_limits(TrustRules(heads=(head,)), outputs, config)
        assert found is not None
        if limit is None:
            assert found.scores[head]["text"] < SURE
        else:
            assert found.scores == {head: {"text": limit}}


@pytest.mark.parametrize(
    ("trust", "says"),
    [
        ({"needs": ["image"]}, "trust.needs: 'image' is no modality of the network"),
        ({"needs": ["width"]}, "trust.needs: 'width' is no modality"),
        ({"heads": ["nobody"]}, "trust.heads: 'nobody' is not one of"),
        ({"most_std": {"nobody": 1}}, r"trust.most_std.nobody: needs network.targets.nobody.uncertainty = true"),
        ({"shares": 1}, "did you mean 'share'"),
    ],
)
def test_faulty_rules_are_told(trust: dict[str, Any], says: str) -> None:
    values = {**noisy_recipe().model_dump(), "trust": trust}
    with pytest.raises(ConfigError, match=says):
        Recipe.parse(values, "recipe")
