"""What every kind of audio encoder keeps: padding and neighbours do not count, and any length has its frames."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.config import NetworkConfig
from models.errors import ConfigError
from models.nets.encoders import Encoded
from models.nets.encoders.audio import AudioEncoder, AudioFeatures, build_audio_encoder
from models.nets.encoders.conformer import Attention, Rotation, band, turned

NAN = float("nan")
NUM_MELS = 32
SMALL = {"num_mels": NUM_MELS, "channels": [3, 4], "hidden": 8}
KINDS: dict[str, dict[str, Any]] = {
    "gru": {"kind": "cnn_gru", "layers": 2, **SMALL},
    "conformer": {"kind": "conformer", "layers": 2, "heads": 2, "kernel": 5, **SMALL},
    "speech embedding": {"kind": "speech_embedding", "hidden": 8},
}
KINDS |= {
    "gru, every feature": {**KINDS["gru"], "subsampling": 1},
    "gru, one in four": {**KINDS["gru"], "subsampling": 4},
    "speech embedding, recurrent": {**KINDS["speech embedding"], "layers": 1},
    "conformer, of little reach": {**KINDS["conformer"], "reach": 3},
    "conformer, one in four": {**KINDS["conformer"], "subsampling": 4},
}
LENGTHS = (23, 1, 8)


def encoder_of(kind: str) -> AudioEncoder:
    torch.manual_seed(0)
    config = NetworkConfig.parse({"audio": KINDS[kind]}, "x").audio
    assert config is not None
    return build_audio_encoder(config, 16).eval()


def features(length: int, seed: int = 0) -> Tensor:
    return torch.rand(length, NUM_MELS, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def padded(filler: float = -1.0, extra: int = 0) -> AudioFeatures:
    """Recordings of LENGTHS features, and `extra` padding beyond the longest."""
    whole = torch.full((len(LENGTHS), max(LENGTHS) + extra, NUM_MELS), filler)
    for row, length in enumerate(LENGTHS):
        whole[row, :length] = features(length, row)
    return AudioFeatures(whole, torch.tensor(LENGTHS))


@torch.inference_mode()
def run(encoder: AudioEncoder, inputs: AudioFeatures) -> Encoded:
    encoded: Encoded = encoder(*inputs)
    return encoded


def parts(encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
    assert encoded.tokens_nTW is not None
    assert encoded.valid_nT is not None
    return encoded.vector_nD, encoded.tokens_nTW, encoded.valid_nT


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_is_the_same_alone_and_beside_longer_ones(kind: str) -> None:
    encoder = encoder_of(kind)
    vectors, tokens, valid = parts(run(encoder, padded()))
    for row, length in enumerate(LENGTHS):
        inputs = AudioFeatures(features(length, row)[None], torch.tensor([length]))
        [vector], [own], [all_valid] = parts(run(encoder, inputs))
        torch.testing.assert_close(vectors[row], vector, rtol=0, atol=1e-5)
        torch.testing.assert_close(tokens[row, : len(own)], own, rtol=0, atol=1e-5)
        assert all_valid.all()
        assert valid[row].sum() == len(own)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filler", [0.7, 1e30, NAN])
def test_what_stands_in_the_padding_never_counts(kind: str, filler: float) -> None:
    encoder = encoder_of(kind)
    plain, filled = parts(run(encoder, padded())), parts(run(encoder, padded(filler)))
    for one, other in zip(plain, filled, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_more_padding_changes_nothing_and_its_frames_are_zeros(kind: str) -> None:
    encoder = encoder_of(kind)
    vectors, tokens, valid = parts(run(encoder, padded()))
    longer, more_tokens, more_valid = parts(run(encoder, padded(extra=30)))
    torch.testing.assert_close(longer, vectors, rtol=0, atol=1e-5)
    torch.testing.assert_close(more_tokens[more_valid], tokens[valid], rtol=0, atol=1e-5)
    assert (more_tokens[~more_valid] == 0).all()


@pytest.mark.parametrize(
    ("kind", "frames"),
    [
        ("gru, every feature", [23, 1, 8]),
        ("gru", [12, 1, 4]),
        ("conformer", [12, 1, 4]),
        ("gru, one in four", [6, 1, 2]),
        ("conformer, one in four", [6, 1, 2]),
        ("speech embedding", [6, 1, 2]),
    ],
)
def test_a_frame_stands_for_so_many_features_and_the_last_for_what_is_left(kind: str, frames: list[int]) -> None:
    encoder = encoder_of(kind)
    _, tokens, valid = parts(run(encoder, padded()))
    assert valid.sum(1).tolist() == frames
    assert tokens.shape == (3, max(frames), encoder.token_width)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_features_counts_and_so_does_where_they_are(kind: str) -> None:
    encoder = encoder_of(kind)
    plain = features(8)
    late = torch.cat([torch.full((8, NUM_MELS), -1.0), plain])
    inputs = [AudioFeatures(part[None], torch.tensor([len(part)])) for part in (plain, plain.flip(0), late)]
    first, backwards, later = (parts(run(encoder, part)) for part in inputs)
    assert (first[0] - backwards[0]).abs().max() > 1e-4
    assert (first[1][0, 0] - later[1][0, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_what_is_frozen_learns(kind: str) -> None:
    encoder = encoder_of(kind)
    assert encoder.pretrained() == []
    encoder.train()
    encoded = encoder.upper(encoder.lower(*padded(NAN)))
    (encoded.vector_nD.sum() + encoded.tokens_nTW.square().sum()).backward()  # type: ignore[union-attr]
    learning = encoder.fresh()
    frozen = [name for name, part in encoder.named_parameters() if not part.requires_grad]
    assert len(learning) == len(list(encoder.parameters())) - len(frozen)
    assert encoder.has_frozen == bool(frozen)
    assert all(name.startswith("embedding.") for name in frozen)
    assert all(part.grad is not None and torch.isfinite(part.grad).all() for part in learning)


def test_a_turned_product_depends_on_how_far_apart_two_frames_are() -> None:
    # Of width 2 the one rate is 1: place p is turned by p radians, and the product is cos(p - q).
    turn = Rotation(2)(torch.ones(1, 5, dtype=torch.bool))
    same = torch.tensor([1.0, 0.0]).expand(1, 1, 5, 2)
    [[products]] = turned(same, turn) @ turned(same, turn).transpose(2, 3)
    places = torch.arange(5.0)
    torch.testing.assert_close(products, (places[:, None] - places).cos())


@pytest.mark.parametrize("reach", [1, 2, 3, 7, 100])
def test_a_frame_attends_to_those_within_reach_of_its_own_recording(reach: int) -> None:
    torch.manual_seed(0)
    attention = Attention(4, 1, 0.0).eval()
    frames, length = torch.randn(1, 9, 4), 7
    valid = torch.arange(9)[None] < length
    still = Rotation(4)(valid)
    still = still._replace(cosine_td=torch.ones_like(still.cosine_td), sine_td=torch.zeros_like(still.sine_td))
    with torch.inference_mode():
        found = attention(frames, still, band(valid, reach))
        normal = attention.norm(frames[0, :length])
        scores = attention.query(normal) @ attention.key(normal).T / 2  # sqrt(4)
        places = torch.arange(length)
        scores = scores.masked_fill((places - places[:, None]).abs() > reach, float("-inf"))
        expected = attention.out(scores.softmax(1) @ attention.value(normal))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[0, :length], expected)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"kind": "lstm"}, "kind must be one of cnn_gru, conformer, speech_embedding"),
        ({"channels": [4], "subsampling": 4}, "needs more channels"),
        ({"kind": "conformer", "channels": [4], "subsampling": 4}, "needs more channels"),
        ({"kind": "conformer", "hidden": 10, "heads": 4}, "multiple of heads"),
        ({"kind": "conformer", "hidden": 12, "heads": 4}, "must be even"),
        ({"kind": "conformer", "kernel": 4}, "must be odd"),
        ({"kind": "speech_embedding", "layer": 5}, "did you mean 'layers'"),
        ({"kind": "conformer", "kernal": 5}, "did you mean 'kernel'"),
    ],
)
def test_a_faulty_encoder_is_told(config: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        NetworkConfig.parse({"audio": config}, "x")


def test_without_a_kind_it_is_convolutions_and_a_gru() -> None:
    config = NetworkConfig.parse({"audio": {"hidden": 8}}, "x")
    assert config.audio is not None
    assert config.audio.kind == "cnn_gru"
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config
