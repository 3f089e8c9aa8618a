"""Fusions side by side: each really trained, none twice, and a table whose numbers can be checked by hand."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from tests.tiny import Recorder, tiny_recipe, write_pairs
from training import run
from training.comparison import Asked, Trial, compare
from training.data.pairs import Pairs
from training.report import comparison_plot, comparison_table

RECIPE = tiny_recipe(
    stages={"text": {"epochs": 1}, "fusion": {"epochs": 1, "batch_size": 8}, "joint": {"epochs": 1}}
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return run.check(RECIPE, write_pairs(tmp_path_factory.mktemp("pairs")), Recorder())


@pytest.mark.slow
def test_each_fusion_and_recipe_is_trained_from_each_seed_and_none_twice(pairs: Pairs, tmp_path: Path) -> None:
    other = tiny_recipe(name="other", stages={"joint": {"epochs": 1}})
    asked = Asked(["add", "cross_attention"], 2, [other])
    trials = compare(RECIPE, pairs, asked, tmp_path / "work", tmp_path / "out", Recorder())
    names = [(trial.name, trial.seed) for trial in trials]
    assert names == [(name, seed) for name in ("add", "cross_attention", "other") for seed in (0, 1)]
    assert set(trials[0].figures) == {
        *(f"{part}/{head}" for part in ("image", "text", "image+text") for head in ("shape", "colour")),
        "matching/text_to_image",
        "matching/image_to_text",
    }
    sizes = {trial.name: trial.num_parameters for trial in trials}
    assert sizes["add"] < sizes["cross_attention"] < sizes["other"]
    assert not list((tmp_path / "work").glob("*.state.safetensors"))

    again = Recorder()
    more = Asked(["add", "cross_attention", "gated"], 2, [other])
    assert compare(RECIPE, pairs, more, tmp_path / "work", tmp_path / "out", again)[:6] == trials
    assert again.lines.count("add, seed 0") == 0
    assert again.lines.count("gated, seed 1") == 1
    with pytest.raises(ConfigError, match="another recipe"):
        compare(tiny_recipe(seed=1, stages=RECIPE.stages), pairs, asked, tmp_path, tmp_path / "out", Recorder())


@pytest.mark.slow
def test_interrupted_after_the_encoders_it_does_not_train_them_again(pairs: Pairs, tmp_path: Path) -> None:
    asked = Asked(["add"], 1)
    with pytest.raises(KeyboardInterrupt):
        compare(
            RECIPE, pairs, asked, tmp_path / "work", tmp_path / "out", Recorder(lambda name: name == "vectors")
        )
    again = Recorder()
    compare(RECIPE, pairs, asked, tmp_path / "work", tmp_path / "out", again)
    assert not any(name.startswith("text ") and "/" in name for name in again.started)
    assert any(name.startswith("fusion ") for name in again.started)


@pytest.mark.slow
def test_a_whole_recipe_that_was_changed_is_trained_again(pairs: Pairs, tmp_path: Path) -> None:
    sizes = []
    for width in (16, 24):
        network = tiny_recipe().network.model_copy(update={"width": width})
        other = tiny_recipe(name="other", network=network)
        trials = compare(RECIPE, pairs, Asked([], 1, [other]), tmp_path / "work", tmp_path / "out", Recorder())
        assert [trial.name for trial in trials] == ["other"]
        sizes.append(trials[0].num_parameters)
    assert sizes[0] < sizes[1]


def test_a_recipe_without_a_fusion_stage_cannot_be_compared(pairs: Pairs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stages\.fusion"):
        compare(tiny_recipe(), pairs, Asked(["add"], 1), tmp_path, tmp_path, Recorder())


TRIALS = [
    Trial("add", 0, {"text/a": 0.2, "text/b": 0.4, "image+text/a": 0.5, "image+text/b": 0.7}, 10.0, 1000),
    Trial("add", 1, {"text/a": 0.4, "text/b": 0.4, "image+text/a": 0.7, "image+text/b": 0.9}, 20.0, 1000),
    Trial("gated", 0, {"text/a": 0.1, "text/b": 0.1}, 1.0, 20),
]


def test_a_table_has_means_over_heads_and_their_deviation_over_seeds() -> None:
    lines = comparison_table(TRIALS).splitlines()
    assert lines[0] == "|  | text | image+text | seeds | seconds | parameters trained |"
    # Means over heads are 0.3 and 0.4; 0.6 and 0.8.
    assert lines[2] == "| add | 0.3500 ± 0.0707 | 0.7000 ± 0.1414 | 2 | 15 | 1,000 |"
    assert lines[3] == "| gated | 0.1000 |  | 1 | 1 | 20 |"


def test_a_plot_is_a_picture_even_where_a_subset_is_missing() -> None:
    assert comparison_plot(TRIALS).startswith(b"\x89PNG")
