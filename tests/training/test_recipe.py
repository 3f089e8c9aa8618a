import re
from pathlib import Path

import pytest

from models.config import NetworkConfig
from models.errors import ConfigError
from tests.tiny import ROOT, tiny_recipe
from training.recipe import Recipe, Stages, read_recipe

SMALLEST = """
name = "tiny"
[data.columns]
text = "name"
labels = ["kind"]
[preprocessing.text]
[network.text]
[stages.joint]
epochs = 1
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_recipes_are_valid(path: Path) -> None:
    stages = read_recipe(path).stages
    assert any((stages.joint, stages.fusion, stages.caption))


def test_the_smallest_recipe_is_filled_with_defaults(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, SMALLEST))
    assert recipe.network.modalities == ("text",)
    assert recipe.data.columns.text == ("name",)
    assert recipe.stages.image is None


def test_a_misspelt_key_names_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path, SMALLEST.replace("epochs", "epoch"))
    with pytest.raises(ConfigError, match=re.escape("stages.joint.epoch: unknown key; did you mean 'epochs'?")):
        read_recipe(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[network.text]", "[network]\nwidth = 3"), "encoder for at least one of"),
        (
            ("[preprocessing.text]", "[preprocessing.image]"),
            "image: data.columns, preprocessing and network must all",
        ),
        (("[stages.joint]", "[stages.image]"), "stages.joint and stages.caption is needed"),
        (
            ("[stages.joint]", "[stages.image]\nepochs = 1\n[stages.joint]"),
            "stages.image has no data.columns.image",
        ),
        (
            ("[stages.joint]", "[objective.heads]\nkinds = 2\n[stages.joint]"),
            "objective.heads.kinds is not one of",
        ),
        (
            ("[stages.joint]", '[network.targets.price]\nunit = "EUR"\n[stages.joint]'),
            "network.targets.price is not one of data.columns.targets",
        ),
        (("[stages.joint]", '[objective]\nweighting = "learnt"\n[stages.joint]'), "objective.weighting"),
        (('name = "tiny"', 'name = "../tiny"'), "name: String should match"),
        (("epochs = 1", "epochs = 0"), "stages.joint.epochs"),
        (("epochs = 1", "epochs ="), "is not TOML"),
        (("epochs = 1", "epochs = 1\naccumulate = 3"), "accumulate: 3 does not divide batch_size, 64"),
        (("epochs = 1", "epochs = 1\naccumulate = 64"), "a micro-batch needs two rows"),
        (("epochs = 1", 'epochs = 1\nmonitor = "text"'), "watched only with patience"),
        (("epochs = 1", "epochs = 1\ncompile = true\ncheckpointing = true"), "exclude each other"),
        (("epochs = 1", 'epochs = 1\nprecision = "fp8"'), "stages.joint.precision"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_recipe(write(tmp_path, SMALLEST.replace(*change)))


def test_no_such_recipe_says_where_the_shipped_ones_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="recipes/"):
        read_recipe(tmp_path / "none.toml")


def test_a_recipe_survives_the_checkpoint_s_json() -> None:
    recipe = tiny_recipe(network=NetworkConfig.tiny())
    assert Recipe.parse(recipe.model_dump(mode="json"), "x") == recipe


def test_either_shared_stage_will_do() -> None:
    assert Stages.model_validate({"fusion": {"epochs": 1}}).joint is None
