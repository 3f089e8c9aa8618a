"""When an answer is not to be trusted."""

from typing import Any

import pytest

from models.familiarity import Familiar
from models.trust import Doubt, TrustRules, find_doubts

RULES = TrustRules(
    needs=("image",),
    most_std={"steer": 0.5},
    stds={"steer": {"image": 0.4, "image+sensors": 0.8}, "speed": {"image": 3.0}},
    scores={"sign": {"image": 0.6}},
    clouds={"image": Familiar(mean=(0, 0), axes=((1, 0),), variances=(1,), rest=1, limit=3)},
)


def doubts(subset: str = "image", **changes: Any) -> tuple[Doubt, ...]:
    values: dict[str, Any] = {"missing": (), "out_of_range": (), "distances": {}, "stds": {}, "scores": {}}
    return find_doubts(RULES, subset, **{**values, **changes})


def test_nothing_unusual_is_no_doubt_and_a_limit_itself_is_within() -> None:
    assert doubts(stds={"steer": 0.4, "speed": 3.0}, scores={"sign": 0.6}) == ()


def test_each_reason_is_told() -> None:
    found = doubts(
        missing=("image",),
        out_of_range=("yaw",),
        distances={"image": 3.5},
        stds={"steer": 0.41, "speed": 4.0},
        scores={"sign": 0.5},
    )
    assert found == (
        Doubt("missing", "image"),
        Doubt("out_of_range", "yaw"),
        Doubt("unfamiliar", "image", 3.5, 3.0),
        Doubt("uncertain", "steer", 0.41, 0.4),
        Doubt("uncertain", "speed", 4.0, 3.0),
        Doubt("uncertain", "sign", 0.5, 0.6),
    )


def test_limits_are_of_the_subset_and_the_recipe_s_own_holds_for_all() -> None:
    assert doubts("image+sensors", stds={"steer": 0.45}) == ()
    assert doubts("image+sensors", stds={"steer": 0.6}) == (Doubt("uncertain", "steer", 0.6, 0.5),)
    assert doubts("sensors", stds={"steer": 0.6, "speed": 1e9}) == (Doubt("uncertain", "steer", 0.6, 0.5),)
    assert doubts("sensors", scores={"sign": 0.0}) == ()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_is_at_least_0_and_less_than_1(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        TrustRules(share=share)
