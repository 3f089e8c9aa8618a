"""Every fusion, text encoder and kind of backbone through both engines, from samples to predictions."""

from typing import Any, get_args

import numpy as np
import pytest

from models.config import FusionName, NetworkConfig
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from tests.tiny import TEXTS, picture, tiny_network, tiny_recipe, tiny_tokenizer
from training import assemble

TEXT_KINDS: dict[str, dict[str, Any]] = {
    "lstm": {"kind": "lstm", "hidden": 8, "embedding": 8},
    "rnn": {"kind": "rnn", "hidden": 8, "embedding": 8},
    "cnn": {"kind": "cnn", "hidden": 8, "embedding": 8, "widths": [1, 2, 3]},
    "transformer": {"kind": "transformer", "hidden": 8, "layers": 2, "heads": 2, "feedforward": 16},
    "frozen": {"kind": "transformer", "hidden": 8, "layers": 2, "heads": 2, "feedforward": 16, "frozen_layers": 1},
}
BACKBONES = ("test_resnet", "test_convnext", "test_vit", "torchvision/resnet18", "small_cnn")
SAMPLES = [
    Sample(image=picture(0, 40, 50), text=TEXTS[0]),
    Sample(text="a"),
    Sample(image=picture(1, 50, 40)),
    Sample(image=picture(2), text=" ".join(TEXTS)),
    Sample(text=TEXTS[5]),
]


def predictors(**changes: Any) -> tuple[Predictor, Predictor]:
    """The tiny network with `changes`, on ONNX Runtime and on torch."""
    values = NetworkConfig.tiny().model_dump()
    for name, change in changes.items():
        values[name] = change if isinstance(change, str) else {**values[name], **change}
        if "kind" in change:
            values[name] = {"vocab_size": 64, **change}
    config = NetworkConfig.parse(values, "x")
    network = tiny_network(config)
    checkpoint = assemble.in_memory_checkpoint(network, tiny_tokenizer(), tiny_recipe(network=config), {})
    return load_predictor(checkpoint, engine="onnx"), load_predictor(checkpoint, engine="torch")


def assert_engines_agree(onnx: Predictor, torch: Predictor) -> None:
    examples = [onnx.prepare(sample) for sample in SAMPLES]
    together, other = onnx.predict(examples), torch.predict(examples)
    for example, left, right in zip(examples, together, other, strict=True):
        [alone] = onnx.predict([example])
        for one in (right, alone):
            np.testing.assert_allclose(left.embedding_E, one.embedding_E, rtol=0, atol=1e-4)
            for head, scores in left.scores.items():
                np.testing.assert_allclose(scores, one.scores[head], rtol=0, atol=1e-4)
    assert np.abs(together[0].embedding_E - together[3].embedding_E).max() > 1e-3


@pytest.mark.parametrize("name", get_args(FusionName))
def test_a_fusion_is_the_same_on_both_engines_and_in_any_batch(name: str) -> None:
    assert_engines_agree(*predictors(fusion=name))


@pytest.mark.parametrize("kind", TEXT_KINDS)
@pytest.mark.parametrize("fusion", ["gated", "cross_attention"])
def test_a_text_encoder_is_the_same_on_both_engines_and_in_any_batch(kind: str, fusion: str) -> None:
    assert_engines_agree(*predictors(text=TEXT_KINDS[kind], fusion=fusion))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("frozen_blocks", [0, 2])
def test_a_backbone_is_the_same_on_both_engines_and_in_any_batch(backbone: str, frozen_blocks: int) -> None:
    image = {"backbone": backbone, "frozen_blocks": frozen_blocks}
    assert_engines_agree(*predictors(image=image, fusion="cross_attention"))


def test_heads_of_odd_names_are_the_same_on_both_engines() -> None:
    classes = {name: {"labels": ["a", "b"]} for name in ("type", "a.b", "Größe (cm)")}
    onnx, torch = predictors(classes=classes)
    assert set(onnx.predict([onnx.prepare(SAMPLES[0])])[0].scores) >= set(classes)
    assert_engines_agree(onnx, torch)
