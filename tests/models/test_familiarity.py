import numpy as np
import pytest

from models.familiarity import NUM_AXES, Familiar

RNG = np.random.default_rng(0)
SCALES = np.array([5.0, 2.0, *[0.1] * 30])
CLOUD = 3 + RNG.standard_normal((400, 32)) * SCALES


def test_the_rows_themselves_are_at_one_and_all_within_half_of_the_limit() -> None:
    cloud = Familiar.fit(CLOUD)
    distances = cloud.distances(CLOUD)
    assert distances.mean() == pytest.approx(1, rel=0.1)
    assert distances.max() == pytest.approx(cloud.limit / 2, rel=0.01)
    assert len(cloud.axes) == NUM_AXES


def test_the_same_step_is_far_along_a_thin_axis_and_near_along_a_wide_one() -> None:
    cloud = Familiar.fit(CLOUD)
    wide, thin = CLOUD.mean(0), CLOUD.mean(0)
    wide[0] += 5
    thin[-1] += 5
    near, far = cloud.distances(np.stack([wide, thin]))
    assert near < 0.1
    assert far > cloud.limit


def test_a_cloud_survives_being_written_down() -> None:
    cloud = Familiar.fit(CLOUD)
    again = Familiar.model_validate_json(cloud.model_dump_json())
    assert np.array_equal(again.distances(CLOUD), cloud.distances(CLOUD))


def test_rows_that_are_all_alike_and_narrow_vectors_have_a_cloud_too() -> None:
    same = Familiar.fit(np.ones((5, 4)))
    assert same.distances(np.ones((1, 4)))[0] <= same.limit + 1e-9
    assert same.distances(np.full((1, 4), 2.0))[0] > same.limit
    assert Familiar.fit(np.arange(6.0).reshape(6, 1)).axes == ()
