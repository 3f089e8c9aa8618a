"""Which figures a recipe asks for."""

import pytest

from tests.tiny import tiny_recipe
from training.measured import Measured


@pytest.mark.parametrize(
    ("contrastive", "fused", "items", "matching", "neighbours"),
    [
        (1.0, 0.0, 0, True, True),
        (0.0, 0.3, 0, True, True),
        (0.0, 0.0, 9, False, True),
        (0.0, 0.0, 0, False, False),
    ],
)
def test_matching_is_measured_where_it_is_trained_and_neighbours_also_where_they_are_searched(
    contrastive: float, fused: float, items: int, matching: bool, neighbours: bool
) -> None:
    objective = {"contrastive": contrastive, "contrastive_fused": fused}
    recipe = tiny_recipe(objective=objective, gallery={"max_items": items})
    assert Measured.of(recipe)[:2] == (matching, neighbours)


def test_who_is_judged_on_rows_of_one_label_cannot_be_wrong_about_it() -> None:
    recipe = tiny_recipe(objective={"unsaid": {"without": ["text"], "means": {"colour": "red"}}})
    measured = Measured.of(recipe)
    assert measured.is_given("colour", ["image"])
    assert not measured.is_given("colour", ["image", "text"])
    assert not measured.is_given("shape", ["image"])
    assert not Measured().is_given("colour", ["image"])
