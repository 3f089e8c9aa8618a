"""Beginning from a trained version: what is taken over, what is not, and what is refused."""

from pathlib import Path

import pytest
import torch

from models.config import ClassificationHead, NetworkConfig
from models.errors import CheckpointError, ConfigError
from models.nets.network import Network
from tests.tiny import Recorder, tiny_checkpoint, tiny_network, tiny_recipe, write_checkpoint, write_pairs
from training import run
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
