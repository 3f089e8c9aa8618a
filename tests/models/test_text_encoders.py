"""What every kind of text encoder keeps: lengths count, padding and neighbours do not, halves make a whole."""

from typing import Any

import pytest
import torch

from models.config import NetworkConfig
from models.errors import ConfigError
from models.nets.encoders import Encoded
from models.nets.encoders.text import TextEncoder, TransformerLayer, TransformerTextEncoder, build_text_encoder

SMALL = {"vocab_size": 64, "hidden": 8}
KINDS: dict[str, dict[str, Any]] = {
    "gru": {"kind": "gru", "embedding": 8, **SMALL},
    "lstm": {"kind": "lstm", "embedding": 8, **SMALL},
    "rnn": {"kind": "rnn", "embedding": 8, **SMALL},
    "cnn": {"kind": "cnn", "embedding": 8, "widths": [1, 2, 3, 4], **SMALL},
    "transformer": {"kind": "transformer", "layers": 2, "heads": 2, "feedforward": 16, "max_tokens": 9, **SMALL},
}
KINDS["pooled"] = {**KINDS["transformer"], "pool_every": 1, "projection": 12, "shortcut": True}
KINDS["half frozen"] = {**KINDS["pooled"], "frozen_layers": 1}
ROWS = ([5, 6, 7, 8, 9, 10, 11], [12], [5, 6, 13])


def encoder_of(kind: str) -> TextEncoder:
    torch.manual_seed(0)
    config = NetworkConfig.parse({"text": KINDS[kind]}, "x").text
    assert config is not None
    return build_text_encoder(config, 16).eval()


def padded(rows: tuple[list[int], ...], filler: int = 0, length: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.full((len(rows), length), filler)
    for row, own in zip(ids, rows, strict=True):
        row[: len(own)] = torch.tensor(own)
    return ids, torch.tensor([len(own) for own in rows])


@torch.inference_mode()
def run(encoder: TextEncoder, rows: tuple[list[int], ...], filler: int = 0, length: int = 7) -> Encoded:
    encoded: Encoded = encoder(*padded(rows, filler, length))
    return encoded


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_the_same_alone_and_beside_longer_ones_whatever_the_padding(kind: str) -> None:
    encoder = encoder_of(kind)
    together, filled = run(encoder, ROWS), run(encoder, ROWS, filler=40)
    torch.testing.assert_close(together.vector_nD, filled.vector_nD, rtol=0, atol=1e-6)
    assert together.tokens_nTW is not None
    assert together.valid_nT is not None
    assert together.valid_nT.sum(1).tolist() == [7, 1, 3]
    for place, own in enumerate(ROWS):
        alone = run(encoder, (own,), length=len(own))
        assert alone.tokens_nTW is not None
        torch.testing.assert_close(together.vector_nD[place], alone.vector_nD[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(together.tokens_nTW[place, : len(own)], alone.tokens_nTW[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_words_counts(kind: str) -> None:
    first, second = run(encoder_of(kind), ([5, 6, 7], [7, 6, 5]), length=3).vector_nD
    assert (first - second).abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_the_halves_are_the_whole_and_only_the_upper_one_learns(kind: str) -> None:
    encoder = encoder_of(kind)
    with torch.inference_mode():
        halves = encoder.upper(encoder.lower(*padded(ROWS)))
    torch.testing.assert_close(halves.vector_nD, run(encoder, ROWS).vector_nD)
    learning = {id(parameter) for parameter in [*encoder.fresh(), *encoder.pretrained()]}
    fixed = [name for name, parameter in encoder.named_parameters() if id(parameter) not in learning]
    assert bool(fixed) == bool(encoder.frozen_layers)
    assert all(name.startswith(("embedding", "positions", "norm", "layers.0")) for name in fixed)


def test_frozen_layers_drop_nothing_out_in_training() -> None:
    encoder = encoder_of("half frozen").train()
    first, second = (encoder.lower(*padded(ROWS)).states_nTW for _ in range(2))
    assert torch.equal(first, second)


def test_a_transformer_is_bert_s_encoder() -> None:
    # By the paper's formulas, for one layer of one head, on numbers.
    config = {"kind": "transformer", "layers": 1, "heads": 1, "feedforward": 2, "hidden": 2, "vocab_size": 8}
    parsed = NetworkConfig.parse({"text": config}, "x").text
    assert parsed is not None
    torch.manual_seed(0)
    encoder = build_text_encoder(parsed, 3).eval()
    assert isinstance(encoder, TransformerTextEncoder)
    ids = torch.tensor([[3, 4, 5]])
    normal = torch.nn.functional.layer_norm
    layer = encoder.layers[0]
    assert isinstance(layer, TransformerLayer)
    with torch.inference_mode():
        x = normal(encoder.embedding.weight[ids[0]] + encoder.positions.weight[:3], (2,), eps=1e-12)
        heard = (layer.query(x) @ layer.key(x).T / 2**0.5).softmax(1) @ layer.value(x)
        x = normal(x + layer.out(heard), (2,), eps=1e-12)
        x = normal(x + layer.outer(torch.nn.functional.gelu(layer.inner(x))), (2,), eps=1e-12)
        expected = encoder.project(x.mean(0))
    found = run(encoder, ([3, 4, 5],), length=3)
    torch.testing.assert_close(found.vector_nD[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"kind": "bert"}, "kind must be one of gru, lstm, rnn, cnn, transformer, minilm"),
        ({"kind": "transformer", "hidden": 10, "heads": 4}, "multiple of heads"),
        ({"kind": "transformer", "layers": 1, "frozen_layers": 2}, "more than layers"),
        ({"kind": "minilm", "frozen_layers": 7}, "text.frozen_layers"),
        ({"kind": "cnn", "widhts": [1]}, "did you mean 'widths'"),
    ],
)
def test_a_faulty_encoder_is_told(config: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        NetworkConfig.parse({"text": config}, "x")


def test_without_a_kind_it_is_a_gru() -> None:
    config = NetworkConfig.parse({"text": {"vocab_size": 64}}, "x")
    assert config.text is not None
    assert config.text.kind == "gru"
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config
