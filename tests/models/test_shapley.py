"""Exact Shapley values of small games."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.shapley import contribution, contributions, subsets


def game(**reached: float) -> dict[frozenset[str], np.ndarray]:
    """Players are letters; `none` is nobody."""
    return {frozenset("" if some == "none" else some): np.array([value]) for some, value in reached.items()}


def test_two_players_share_what_they_reach_by_the_mean_over_both_orders() -> None:
    # a first adds 6, after b 8: 7. b first adds 4, after a 6: 5.
    assert contributions(game(none=0, a=6, b=4, ab=12)) == {"a": 7, "b": 5}


def test_the_glove_game_of_three() -> None:
    # c has the right glove, a and b have left ones: worth 1 where there is a pair. 4 of 6 orders give it to c.
    values = game(none=0, a=0, b=0, c=0, ab=0, ac=1, bc=1, abc=1)
    found = {player: float(value[0]) for player, value in contributions(values).items()}
    assert found == pytest.approx({"a": 1 / 6, "b": 1 / 6, "c": 4 / 6})


def test_a_player_alone_adds_everything() -> None:
    assert contribution("a", game(none=0.2, a=0.9)) == pytest.approx(0.7)


def test_subsets_are_all_but_the_empty_one_and_end_with_all() -> None:
    assert subsets("ab") == [frozenset("a"), frozenset("b"), frozenset("ab")]
    assert len(subsets("abcd")) == 15


@given(st.integers(1, 4).flatmap(lambda size: st.lists(st.floats(-9, 9), min_size=2**size, max_size=2**size)))
def test_they_sum_to_what_all_reach_beyond_nobody(reached: list[float]) -> None:
    players = "abcd"[: len(reached).bit_length() - 1]
    some = [frozenset[str](), *subsets(players)]
    values = {one: np.array([value, -value]) for one, value in zip(some, reached, strict=True)}
    total = np.sum(list(contributions(values).values()), axis=0)
    np.testing.assert_allclose(total, values[frozenset(players)] - values[frozenset()], atol=1e-9)
