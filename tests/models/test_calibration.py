import numpy as np
import pytest

from models.calibration import Calibration, subset_name


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
