import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import MAX_PROBABILITIES, Calibration, Conformity, subset_name
from models.checkpoint import CheckpointConfig
from models.errors import InputError
from tests.tiny import ROOT


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_temperature_one_is_the_softmax() -> None:
    shares = Calibration().probabilities("shape", "image", floats(0, np.log(3)))
    np.testing.assert_allclose(shares, [0.25, 0.75], rtol=1e-6)  # 1 : 3
    assert shares.dtype == np.float32


def test_a_temperature_of_two_takes_the_root_of_the_odds() -> None:
    calibration = Calibration(temperatures={"shape": {"image": 2.0}})
    np.testing.assert_allclose(
        calibration.probabilities("shape", "image", floats(0, np.log(9))), [0.25, 0.75], rtol=1e-6
    )  # 1 : 9 becomes 1 : 3


def test_a_temperature_counts_only_for_its_own_head_and_subset() -> None:
    calibration = Calibration(temperatures={"shape": {"image": 2.0}})
    for head, subset in (("shape", "image+text"), ("colour", "image")):
        np.testing.assert_allclose(
            calibration.probabilities(head, subset, floats(0, np.log(3))), [0.25, 0.75], 1e-6
        )


def test_multi_label_scores_are_each_for_themselves() -> None:
    scores = Calibration().probabilities("tags", "text", floats(0, np.log(3), -np.log(3)), multi_label=True)
    np.testing.assert_allclose(scores, [0.5, 0.75, 0.25], rtol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_enormous_logits_do_not_overflow(multi_label: bool) -> None:
    scores = Calibration().probabilities("a", "b", floats(-1e6, 1e6), multi_label=multi_label)
    np.testing.assert_allclose(scores, [0, 1])


def test_a_subset_is_named_by_its_modalities() -> None:
    assert subset_name(["image", "text"]) == "image+text"
    assert subset_name(["text"]) == "text"


NINE = np.array([0.9, 0.05, 0.8, 0.1, 0.7, 0.2, 0.6, 0.26, 0.4])


@pytest.mark.parametrize(
    ("coverage", "least"),
    [
        (0.95, 0.0),  # rank ceil(9.5) = 10 of 9: every label
        (0.9, 0.05),  # rank 9: the largest score, 1 - 0.05
        (0.85, 0.05),  # rank ceil(8.5) = 9
        (0.8, 0.1),
        (0.6, 0.26),
        (0.5, 0.4),
        (0.4, 1.0),  # rank 4 has 0.6, more than half: the most probable label alone
        (0.01, 1.0),
    ],
)
def test_the_threshold_is_the_quantile_that_is_counted_by_hand(coverage: float, least: float) -> None:
    fitted = Conformity.fit(NINE)
    assert fitted.num_rows == 9
    assert fitted.probabilities == (0.05, 0.1, 0.2, 0.26, 0.4)
    assert fitted.least_probability(coverage) == least


def test_a_rank_is_counted_in_decimals_as_it_was_asked_for() -> None:
    # 0.93 of 100 is rank 93 of 99, so six rows may be missed; (99 + 1) * 0.07 is 7.000000000000001 in floats.
    fitted = Conformity.fit(np.arange(1, 100) / 200)
    assert fitted.least_probability(0.93) == 7 / 200
    assert fitted.least_probability(0.07) == 93 / 200


def test_probabilities_are_rounded_down() -> None:
    assert Conformity.fit(np.array([0.123456, 0.99999, 2e-9, 0.33339999])).probabilities == (2e-9, 0.1234, 0.3333)


@pytest.mark.parametrize("num_rows", [500, 501, 1201])
def test_many_rows_are_thinned_and_sets_only_grow(num_rows: int) -> None:
    probabilities = np.random.default_rng(0).random(num_rows) / 2
    fitted = Conformity.fit(probabilities)
    assert len(fitted.probabilities) <= MAX_PROBABILITIES
    exact = np.sort(probabilities)
    for missed in range(num_rows):
        least = fitted.least_probability((num_rows - missed) / (num_rows + 1))
        assert exact[max(0, missed - fitted.step)] * 0.999 <= least <= exact[missed]


def of_nine(*labels: float) -> Calibration:
    fitted = Conformity.fit(np.array(labels) if labels else NINE)
    return Calibration(conformity={"shape": {"text": fitted}})


def test_a_set_is_every_label_that_is_probable_enough_the_most_probable_first() -> None:
    scores = floats(0.1, 0.6, 0.05, 0.25)
    assert of_nine().prediction_set("shape", "text", scores, 0.6).tolist() == [1]  # at least 0.26
    assert of_nine().prediction_set("shape", "text", scores, 0.7).tolist() == [1, 3]  # 0.2
    assert of_nine().prediction_set("shape", "text", scores, 0.8).tolist() == [1, 3, 0]  # 0.1
    assert of_nine().prediction_set("shape", "text", scores, 0.99).tolist() == [1, 3, 0, 2]


def test_where_no_label_is_probable_enough_the_most_probable_is_the_set() -> None:
    assert of_nine().prediction_set("shape", "text", floats(0.3, 0.35, 0.35), 0.5).tolist() == [1]


def test_a_label_that_the_model_does_not_know_asks_for_all_labels() -> None:
    calibration = of_nine(0.0, *[0.9] * 8)
    assert calibration.prediction_set("shape", "text", floats(1, 0, 0), 0.9).tolist() == [0, 1, 2]
    assert calibration.prediction_set("shape", "text", floats(1, 0, 0), 0.8).tolist() == [0]


@pytest.mark.parametrize(("head", "subset"), [("shape", "image"), ("colour", "text")])
def test_what_has_no_fitted_rows_has_no_sets(head: str, subset: str) -> None:
    with pytest.raises(InputError, match=f"'{head}' from {subset}. Leave the field out, or train") as caught:
        of_nine().prediction_set(head, subset, floats(0.5, 0.5), 0.9)
    assert caught.value.field == "coverage"


shares = st.floats(0.001, 0.999)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.lists(st.floats(0, 1), min_size=2, max_size=6),
       shares, shares)  # fmt: skip
def test_sets_are_nested_as_the_coverage_grows(
    fitted: list[float], weights: list[float], one: float, other: float
) -> None:
    scores = floats(*weights) / max(1.0, sum(weights))
    small, large = (of_nine(*fitted).prediction_set("shape", "text", scores, c) for c in sorted((one, other)))
    assert len(small) >= 1
    assert small.tolist() == large[: len(small)].tolist()


@settings(deadline=None, max_examples=10, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.floats(0.2, 3.0), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_of_exchangeable_rows_at_least_the_share_asked_for_is_covered(
    seed: int, num_rows: int, sharpness: float, coverage: float
) -> None:
    """Each trial draws its calibration rows and one new row; a model too sure or too timid does no harm."""
    rng, trials = np.random.default_rng(seed), 1000
    logits = rng.normal(size=(trials, num_rows + 1, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(2)  # drawn from the softmax of the logits
    weights = np.exp(sharpness * logits)
    scores = (weights / weights.sum(2, keepdims=True)).astype(np.float32)
    given_ = np.take_along_axis(scores, labels[:, :, None], 2)[:, :, 0]
    held = [
        labels[t, -1] in of_nine(*given_[t, :-1]).prediction_set("shape", "text", scores[t, -1], coverage)
        for t in range(trials)
    ]
    assert np.mean(held) >= coverage - 4 * math.sqrt(coverage * (1 - coverage) / trials)


def test_the_shipped_model_has_sets_of_every_head_from_every_subset() -> None:
    path = ROOT / "checkpoints" / "fashion" / "2" / "config.json"
    config = CheckpointConfig.model_validate_json(path.read_bytes())
    assert set(config.calibration.conformity) == set(config.network.classes)
    for subsets in config.calibration.conformity.values():
        assert {subset: fitted.num_rows for subset, fitted in subsets.items()} == {
            "image": 684,
            "text": 684,
            "image+text": 684,
        }


def test_a_deviation_is_the_root_of_the_variance_times_what_was_fitted() -> None:
    calibration = Calibration(spreads={"price": {"image": 1.5}})
    assert calibration.deviation("price", "image", math.log(4)) == pytest.approx(3)
    assert calibration.deviation("price", "text", math.log(4)) == pytest.approx(2)
    assert Calibration().deviation("price", "text", 0.0) == 1
