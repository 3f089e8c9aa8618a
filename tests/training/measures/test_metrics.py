import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.measures.metrics import (
    accuracy,
    average_precision,
    calibration_error,
    calibration_floor,
    confusion,
    coverage,
    interval_coverage,
    label_set_figures,
    neighbour_share,
    paired_bootstrap,
    regression_figures,
    reliability,
)


def test_accuracy_is_the_share_of_right_rows_with_its_standard_error() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    figures = accuracy(scores, np.array([0, 1, 0, 1]))
    assert figures["accuracy"] == 0.75
    assert figures["standard_error"] == pytest.approx(np.sqrt(0.75 * 0.25 / 4))
    assert figures["count"] == 4


def test_a_label_that_the_model_does_not_know_is_wrong() -> None:
    assert accuracy(np.array([[1.0, 0.0]]), np.array([-1]))["accuracy"] == 0


def test_coverage_is_the_share_of_sets_that_hold_the_label_and_their_mean_size() -> None:
    sets = [np.array([2, 0]), np.array([1]), np.array([0, 1, 2]), np.array([0, 1])]
    assert coverage(sets, np.array([0, 0, 2, -1])) == {"covered": 0.5, "mean_size": 2.0}


def test_calibration_error_is_the_gap_between_confidence_and_share_right() -> None:
    # Ten rows in ten bins would be one row each: twenty rows, two in each bin.
    confidence = np.full(20, 0.75)
    assert calibration_error(confidence, np.array([True, True] * 10)) == pytest.approx(0.25)
    assert calibration_error(confidence, np.array([True, False] * 10)) == pytest.approx(0.25)


def test_gaps_of_opposite_sign_do_not_cancel() -> None:
    confidence = np.array([0.5] * 10 + [0.9] * 10)
    hits = np.array([True] * 10 + [False] * 10)
    assert calibration_error(confidence, hits) == pytest.approx((0.5 + 0.9) / 2)


def test_bins_hold_equally_many_rows_the_least_confident_first() -> None:
    confidence = np.array([0.9, 0.1, 0.4, 0.6])
    assert reliability(confidence, np.array([True, False, False, True]), num_bins=2) == [
        (pytest.approx(0.25), 0.0, 2),
        (pytest.approx(0.75), 1.0, 2),
    ]


def test_fewer_rows_than_bins_leave_no_empty_bin() -> None:
    assert [count for _, _, count in reliability(np.array([0.2, 0.9]), np.array([True, True]))] == [1, 1]


def test_the_floor_falls_with_more_rows_and_is_the_same_each_time() -> None:
    few, many = np.full(100, 0.8), np.full(10_000, 0.8)
    assert calibration_floor(many) < 0.02 < calibration_floor(few)
    assert calibration_floor(few) == calibration_floor(few)


EAST, NORTH = (1.0, 0.0), (0.0, 1.0)


def test_an_interval_of_equal_differences_is_a_point() -> None:
    assert paired_bootstrap(np.ones(7)) == (1, 1)
    assert paired_bootstrap(np.zeros(7)) == (0, 0)


def test_an_interval_by_hand() -> None:
    # Two rows, drawn twice: the mean is 0, ½ or 1, with chances of ¼, ½ and ¼, so both ends are beyond 2.5 %.
    assert paired_bootstrap(np.array([0.0, 1.0])) == (0, 1)


def test_an_interval_is_two_standard_errors_wide_on_either_side() -> None:
    # 400 rows, half of them 1: the standard error is 0.5 / 20 = 0.025, and 1.96 times that 0.049.
    low, high = paired_bootstrap(np.array([0.0, 1.0] * 200))
    assert (low, high) == (pytest.approx(0.451, abs=0.005), pytest.approx(0.549, abs=0.005))
    assert paired_bootstrap(np.array([0.0, 1.0] * 200)) == (low, high)


def test_a_confusion_counts_labels_down_and_predictions_across() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 2, -1]), np.array([0, 0, 1, 1, 0, 2])
    assert confusion(labels, predicted, 3).tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_a_neighbour_s_share_leaves_out_the_row_and_its_twins() -> None:
    vectors = np.array([EAST, EAST, EAST, NORTH, NORTH])
    labels = np.array([0, 0, 1, 1, 1])
    twins = [np.array([0, 1]), np.array([0, 1]), np.array([2]), np.array([3]), np.array([4])]
    # Row 0 has row 2 next, of another label; row 2 has rows 0 and 1; row 3 has row 4, then one of the others.
    assert neighbour_share(vectors, labels, twins, num=1).tolist() == [0, 0, 0, 1, 1]
    # With all that is left: row 0 has rows 2, 3, 4; row 2 has 0, 1, 3, 4; row 3 has 0, 1, 2, 4.
    assert neighbour_share(vectors, labels, twins).tolist() == [0, 0, 0.5, 0.5, 0.5]


def test_a_row_without_others_has_no_neighbour() -> None:
    assert neighbour_share(np.array([EAST]), np.array([0]), [np.array([0])]).tolist() == [0]


def test_average_precision_is_the_mean_share_of_hits_down_to_each_hit() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert average_precision(scores, np.array([True, False, True, False])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, np.array([False, False, False, True])) == pytest.approx(1 / 4)


def test_equal_scores_are_as_good_as_a_draw() -> None:
    assert average_precision(np.full(4, 0.5), np.array([True, False, False, False])) == pytest.approx(1 / 4)
    assert average_precision(np.array([0.9, 0.5, 0.5]), np.array([True, True, False])) == pytest.approx(
        (1 + 2 / 3) / 2
    )


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1).filter(lambda rows: any(r[1] for r in rows))
)
def test_average_precision_equals_its_definition(rows: list[tuple[int, bool]]) -> None:
    scores, hits = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    shares = [hits[scores >= score].mean() for score in scores[hits]]
    assert average_precision(scores, hits) == pytest.approx(np.mean(shares))


def test_label_sets_have_a_mean_precision_and_an_f1_over_all_labels() -> None:
    scores = np.array([[0.9, 0.2, 0.1], [0.6, 0.7, 0.1]])
    truth = np.array([[True, False, False], [False, True, False]])
    # Named: 3, right: 2, holding: 2. The third label holds nowhere, so it has no precision.
    assert label_set_figures(scores, truth) == {"map": 1, "f1": pytest.approx(4 / 5), "count": 2}
    # A label that holds and that the model does not know is missed.
    assert label_set_figures(scores, truth, num_unknown=1)["f1"] == pytest.approx(4 / 6)


def test_label_sets_where_nothing_holds() -> None:
    nothing = np.zeros((2, 2), dtype=bool)
    assert label_set_figures(np.full((2, 2), 0.1), nothing) == {"f1": 1, "count": 2}
    assert label_set_figures(np.full((2, 2), 0.9), nothing) == {"f1": 0, "count": 2}


def test_numbers_have_errors_and_a_share_of_variance() -> None:
    # Errors 1, 0, -2; the truth 0, 2, 4 has a variance of 8/3, the errors' mean square is 5/3.
    figures = regression_figures(np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0, 4.0]))
    assert figures == pytest.approx({"mae": 1, "rmse": np.sqrt(5 / 3), "r2": 3 / 8, "count": 3})


def test_equal_numbers_have_no_share_of_variance() -> None:
    assert regression_figures(np.array([1.0, 2.0]), np.array([3.0, 3.0])) == {
        "mae": 1.5,
        "rmse": pytest.approx(np.sqrt(2.5)),
        "count": 2,
    }


def test_an_interval_of_nine_in_ten_reaches_a_good_deviation_and_a_half_each_way() -> None:
    figures = interval_coverage(np.zeros(3), np.array([1.0, 1.0, 2.0]), np.array([1.6, 1.7, -3.0]))
    assert figures == pytest.approx({"covered": 2 / 3, "mean_width": 2 * 1.6449 * 4 / 3})
