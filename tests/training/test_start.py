"""Beginning from a trained version: what is taken over, what is not, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from models.checkpoint import WEIGHTS
from models.config import ClassificationHead, NetworkConfig
from models.errors import CheckpointError, ConfigError
from models.nets.network import Network
from tests.tiny import Recorder, tiny_checkpoint, tiny_network, tiny_recipe, write_checkpoint, write_pairs
from training import run
from training.recipe import Recipe
from training.setup import set_up
from training.start import take_over


def state(network: Network, part: str) -> torch.Tensor:
    return network.state_dict()[part]


def test_everything_that_fits_is_taken_over() -> None:
    torch.manual_seed(5)
    network = Network(NetworkConfig.tiny())
    origins = take_over(network, tiny_checkpoint())
    assert origins == {"image": "tiny version 1", "text": "tiny version 1"}
    for name, value in tiny_network().state_dict().items():
        torch.testing.assert_close(state(network, name), value)


def test_where_a_version_s_weights_came_from_goes_on_to_be_said() -> None:
    start = tiny_checkpoint()
    provenance = {"pretrained": "ears of a bat (Apache-2.0)"}
    start = replace(start, config=start.config.model_copy(update={"provenance": provenance}))
    origins = take_over(Network(NetworkConfig.tiny()), start)
    assert origins["image"] == "tiny version 1, which began from ears of a bat (Apache-2.0)"


def test_another_fusion_and_other_labels_start_anew() -> None:
    config = NetworkConfig.tiny()
    classes = {**config.classes, "shape": ClassificationHead(labels=("circle", "cube", "star"))}
    torch.manual_seed(5)
    network = Network(config.model_copy(update={"fusion": "concat", "classes": classes}))
    before = network.state_dict()["heads.shape.weight"].clone()
    take_over(network, tiny_checkpoint())
    assert torch.equal(state(network, "heads.shape.weight"), before)
    trained = tiny_network().state_dict()
    assert torch.equal(state(network, "heads.colour.weight"), trained["heads.colour.weight"])
    assert torch.equal(state(network, "encoders.text.embedding.weight"), trained["encoders.text.embedding.weight"])


def test_an_encoder_that_is_not_the_same_is_refused() -> None:
    config = NetworkConfig.tiny()
    assert config.image is not None
    other = config.model_copy(update={"image": config.image.model_copy(update={"hidden": 17})})
    with pytest.raises(ConfigError, match=r"network\.image is not the recipe's.*'hidden': 16"):
        take_over(Network(other), tiny_checkpoint())


def test_a_run_begins_with_the_version_s_weights_scales_and_subwords(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny" / "1")
    recipe = tiny_recipe(start_from=str(folder))
    pairs = run.check(recipe, write_pairs(tmp_path / "pairs"), Recorder())
    setup = set_up(recipe, pairs, tmp_path / "work", Recorder())
    trained = tiny_network().state_dict()
    network = setup.plan.bench.network
    for name in ("encoders.image.feature_mean", "encoders.image.project.1.weight", "norms.text.weight"):
        torch.testing.assert_close(state(network, name), trained[name])
    assert setup.tokenizer is not None
    assert setup.tokenizer.get_vocab() == tiny_checkpoint().tokenizer.get_vocab()  # type: ignore[union-attr]
    assert setup.origins == {"image": "tiny version 1", "text": "tiny version 1"}


def test_a_version_that_is_not_there_is_told(tmp_path: Path) -> None:
    recipe = tiny_recipe(start_from=str(tmp_path / "none"))
    pairs = run.check(recipe, write_pairs(tmp_path / "pairs"), Recorder())
    with pytest.raises(CheckpointError, match="none"):
        set_up(recipe, pairs, tmp_path / "work", Recorder())


def test_a_head_that_writes_goes_on_however_its_texts_are_chosen_and_starts_anew_with_other_subwords() -> None:
    theirs = NetworkConfig.tiny_caption()
    trained = tiny_network(theirs)
    config = tiny_checkpoint().config.model_copy(update={"network": theirs})
    start = replace(tiny_checkpoint(), config=config, contents={WEIGHTS: save(trained.state_dict())})
    for changes, goes_on in (
        ({"num_beams": 2, "dropout": 0.5, "length_penalty": 2, "capitals": "words", "blind": 0.5}, True),
        ({"tokens": range(3, 21)}, False),
        ({"heads": 4}, False),
    ):
        torch.manual_seed(5)
        network = Network(NetworkConfig.tiny_caption(**changes))
        take_over(network, start)
        same = torch.equal(
            state(network, "caption.embedding.weight"), trained.state_dict()["caption.embedding.weight"]
        )
        assert same == goes_on


def written_beside(folder: Path, **changes: object) -> Recipe:
    """A recipe that trains a caption alone, beside the heads of a version in `folder`."""
    columns = {"image": "image", "text": "name", "caption": "name", "labels": ["shape", "colour"]}
    return tiny_recipe(
        start_from=str(write_checkpoint(folder / "tiny" / "1")),
        data={"columns": columns},
        network=NetworkConfig.tiny_caption(tokens=(), **changes),
        stages={"caption": {"epochs": 1}},
    )


def test_heads_that_nothing_trains_stay_as_they_are_whatever_labels_the_data_has(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs")
    path.write_text(path.read_text().replace(",star,", ",cube,"))
    recipe = written_beside(tmp_path)
    pairs = run.check(recipe, path, Recorder())
    plan = set_up(recipe, pairs, tmp_path / "work", Recorder()).plan
    assert plan.bench.network.config.classes == NetworkConfig.tiny().classes
    weight = tiny_network().state_dict()["heads.shape.weight"]
    assert torch.equal(state(plan.bench.network, "heads.shape.weight"), weight)
    cubes = [row for row, record in enumerate(pairs.records) if record.labels["shape"] == "cube"]
    assert (plan.source.truth.labels_NH[cubes, 0] == -1).all()


def test_a_head_that_nothing_trains_and_the_version_lacks_is_refused(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs")
    recipe = written_beside(tmp_path)
    pairs = run.check(recipe, path, Recorder())
    other = recipe.model_copy(update={"network": recipe.network.model_copy(update={"fusion": "add"})})
    with pytest.raises(ConfigError, match=r"network\.fusion: nothing trains the heads.*gated"):
        set_up(other, pairs, tmp_path / "work", Recorder())
    columns = recipe.data.columns.model_copy(update={"labels": ("shape",), "multi_labels": ("colour",)})
    other = recipe.model_copy(update={"data": recipe.data.model_copy(update={"columns": columns})})
    pairs = run.read(other, path)
    with pytest.raises(ConfigError, match=r"nothing trains the head 'colour'.*none like it"):
        set_up(other, pairs, tmp_path / "work", Recorder())
