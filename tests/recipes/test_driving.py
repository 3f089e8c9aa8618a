"""A round of DAgger goes on with the network that recipes/driving.toml began."""

from pathlib import Path

from recipes import spoken_commands
from training.recipe import read_recipe

RECIPES = Path(spoken_commands.__file__).parent


def test_a_round_is_the_first_recipe_but_for_its_stages() -> None:
    first, later = (read_recipe(RECIPES / f"{name}.toml") for name in ("driving", "driving_round"))
    assert first.model_dump(exclude={"stages"}) == later.model_dump(exclude={"stages"})
    assert later.stages.model_dump(exclude={"joint"}, exclude_none=True) == {}
