import numpy as np
import pytest

from tests.training.driving.roads import circle, square
from training.driving.road import Place


def test_a_circle_bends_by_one_over_its_radius_to_the_left() -> None:
    assert circle(20).bends == pytest.approx(1 / 20, rel=1e-3)


def test_a_square_bends_only_at_its_corners() -> None:
    bends_N = square(10).bends
    corners = np.flatnonzero(bends_N)
    assert corners.tolist() == [0, 10, 20, 30]
    assert bends_N[corners] == pytest.approx(np.pi / 2)  # a right angle over steps of one unit


def test_left_of_a_circle_driven_anticlockwise_is_its_inside() -> None:
    assert np.linalg.norm(circle(20).shifted(3).points_N2, axis=1) == pytest.approx(17)
    assert circle(20).locate(17, 0) == Place(0, pytest.approx(3))
    assert circle(20).locate(22, 0) == Place(0, pytest.approx(-2))


def test_smoothing_cuts_a_bend_on_its_inner_side() -> None:
    radii_N = np.linalg.norm(circle(20, points=40).smoothed(2).points_N2, axis=1)
    # The mean of five points 9 degrees apart: 20 (1 + 2 cos 9 + 2 cos 18) / 5.
    assert radii_N == pytest.approx(20 * (1 + 2 * np.cos(np.pi / 20) + 2 * np.cos(np.pi / 10)) / 5)


def test_what_lies_ahead_is_found_between_points_and_past_the_last_one() -> None:
    line = square(10)
    assert line.ahead(0, 2.5) == pytest.approx([2.5, 0])
    assert line.ahead(8, 4) == pytest.approx([10, 2])
    assert line.ahead(38, 4) == pytest.approx([2, 0])


def test_a_road_that_comes_by_beside_is_not_taken_for_the_one_driven() -> None:
    line = square(40)
    assert line.locate(1, 39).index != line.locate(1, 39, near=0).index
    assert line.locate(5, 1, near=0) == Place(5, pytest.approx(1))
