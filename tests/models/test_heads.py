import math

import pytest
import torch

from models.config import ClassificationHead, NetworkConfig, RecurrentTextEncoder, RegressionHead
from models.errors import ConfigError
from models.nets.heads import RegressionHead as Layer
from models.nets.heads import build_heads, run_heads

CONFIG = NetworkConfig(
    text=RecurrentTextEncoder(),
    width=4,
    classes={"colour": ClassificationHead(labels=("blue", "red"))},
    targets={"weight": RegressionHead(), "price": RegressionHead(uncertainty=True)},
)


def test_each_head_gives_what_its_kind_gives() -> None:
    found = run_heads(*build_heads(CONFIG), torch.zeros(3, 4))
    assert {name: part.shape for name, part in found.logits.items()} == {"colour": (3, 2)}
    assert {name: part.shape for name, part in found.values.items()} == {"weight": (3,), "price": (3,)}
    assert {name: part.shape for name, part in found.log_variances.items()} == {"price": (3,)}


@pytest.mark.parametrize(
    "name", ["type", "items", "a.b", "training", "Größe (cm)", "weight", "_modules", "0", " "]
)
def test_a_head_may_be_called_whatever_a_column_is(name: str) -> None:
    other = "keys" if name != "keys" else "pop"
    config = CONFIG.model_copy(
        update={
            "classes": {name: ClassificationHead(labels=("a", "b", "c"))},
            "targets": {other: RegressionHead()},
        }
    )
    classes, targets = build_heads(config)
    found = run_heads(classes, targets, torch.zeros(2, 4))
    assert found.logits[name].shape == (2, 3)
    assert found.values[other].shape == (2,)
    again, _ = build_heads(config)
    again.load_state_dict(classes.state_dict())


def test_heads_of_like_names_stay_apart() -> None:
    names = ("a.b", "a_b", "_a_b", "type", "_type_")
    config = CONFIG.model_copy(update={"classes": {name: ClassificationHead(labels=("x", "y")) for name in names}})
    assert len(build_heads(config)[0]) == len(names)


def test_an_ordinary_name_is_the_weights_own() -> None:
    # Checkpoints are read by it.
    assert set(build_heads(CONFIG)[0].state_dict()) == {"colour.weight", "colour.bias"}


def test_a_number_is_linear_and_its_log_variance_is_bounded_and_still_learns() -> None:
    layer = Layer(RegressionHead(uncertainty=True), 1)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    fused = torch.tensor([[0.5], [20.0], [-1000.0]], requires_grad=True)
    found = layer(fused)
    assert found[:, 0].tolist() == [0.5, 20, -1000]
    assert found[:, 1].tolist() == pytest.approx([8 * math.tanh(0.5 / 8), 8 * math.tanh(20 / 8), -8])
    (gradient,) = torch.autograd.grad(found[:, 1].sum(), fused)
    assert 0 < gradient[1].item() < gradient[0].item() < 1


def test_a_deviation_of_nothing_is_no_scale() -> None:
    with pytest.raises(ConfigError, match=r"targets\.price\.std"):
        NetworkConfig.parse({"text": {}, "targets": {"price": {"std": 0}}}, "x")


def test_only_heads_of_one_label_are_single() -> None:
    tags = ClassificationHead(labels=("new", "sale"), multi_label=True)
    config = CONFIG.model_copy(update={"classes": {**CONFIG.classes, "tags": tags}})
    assert config.single_label_heads == ("colour",)
