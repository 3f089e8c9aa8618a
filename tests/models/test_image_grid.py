"""A grid of cells: where something is in an image."""

import pytest
import torch

from models.config import ImageEncoder as ImageEncoderConfig
from models.errors import ConfigError
from models.nets.encoders.image import ImageEncoder, pool_cells
from tests.training.test_engines import assert_engines_agree, predictors

SMALL = {"backbone": "small_cnn", "frozen_blocks": 0, "colour_bins": 0, "hidden": 8}


def test_each_cell_has_the_mean_of_its_own_quarter() -> None:
    map_nCHW = torch.arange(16.0).view(1, 1, 4, 4)
    assert pool_cells(map_nCHW, 2).tolist() == [[2.5, 4.5, 10.5, 12.5]]


def test_a_grid_that_does_not_fit_is_refused_with_the_sides() -> None:
    with pytest.raises(ConfigError, match="3 does not divide the last block's map of 4 x 4"):
        pool_cells(torch.zeros(1, 1, 4, 4), 3)


def test_a_grid_adds_features_for_each_cell_of_the_last_block() -> None:
    plain, grid = (ImageEncoder(ImageEncoderConfig(**SMALL, grid=cells), 8) for cells in (0, 4))
    assert len(grid.feature_mean) - len(plain.feature_mean) == 4 * 4 * 128


def test_a_grid_is_the_same_on_both_engines_and_in_any_batch() -> None:
    assert_engines_agree(*predictors(image={**SMALL, "grid": 2}))
