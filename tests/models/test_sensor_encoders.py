"""Encoders of readings: gaps never count, order does, batches do not."""

import pytest
import torch
from torch import Tensor

from models.config import NetworkConfig
from models.errors import ConfigError
from models.nets.encoders.sensors import SensorEncoder, build_sensor_encoder

KINDS = {
    "mlp": {"kind": "mlp", "num_channels": 2, "steps": 5, "hidden": 8},
    "tcn": {"kind": "tcn", "num_channels": 2, "steps": 5, "hidden": 8, "layers": 3},
}


def encoder_of(kind: str) -> SensorEncoder:
    torch.manual_seed(0)
    config = NetworkConfig.parse({"sensors": KINDS[kind]}, "x").sensors
    assert config is not None
    return build_sensor_encoder(config, 6).eval()


def window(seed: int, count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    known = torch.rand(count, 5, 2, generator=generator) < 0.7
    known[:, 2] = True
    return torch.randn(count, 5, 2, generator=generator), known


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filler", [7.0, 1e30, float("nan")])
def test_what_stands_in_a_gap_never_counts_but_the_gap_does(kind: str, filler: float) -> None:
    encoder, (values, known) = encoder_of(kind), window(0)
    found = encoder(values, known)
    other = encoder(values.masked_fill(~known, filler), known)
    assert torch.equal(found.vector_nD, other.vector_nD)
    assert torch.equal(found.tokens_nTW, other.tokens_nTW)
    # A reading that is the mean is not the same as none.
    changed = values.clone()
    changed[0, 2, 0] = 0.0
    gap = known.clone()
    gap[0, 2, 0] = False
    assert not torch.allclose(encoder(changed, known).vector_nD[0], encoder(changed, gap).vector_nD[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_has_the_same_vector_alone_and_in_a_batch(kind: str) -> None:
    encoder, (values, known) = encoder_of(kind), window(1)
    together = encoder(values, known).vector_nD
    for row in range(3):
        alone = encoder(values[row : row + 1], known[row : row + 1]).vector_nD[0]
        torch.testing.assert_close(alone, together[row])


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_steps_and_of_channels_counts(kind: str) -> None:
    encoder, (values, _) = encoder_of(kind), window(2)
    known = torch.ones_like(values, dtype=torch.bool)
    found = encoder(values, known).vector_nD
    assert not torch.allclose(found, encoder(values.flip(1), known).vector_nD)
    assert not torch.allclose(found, encoder(values.flip(2), known).vector_nD)


def test_a_step_of_the_convolutions_sees_none_that_comes_later() -> None:
    encoder, (values, known) = encoder_of("tcn"), window(3)
    later = values.clone()
    later[:, 3:] += 1
    before, after = encoder(values, known).tokens_nTW, encoder(later, known).tokens_nTW
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 4], after[:, 4])


def test_tokens_of_steps_without_any_reading_are_not_valid() -> None:
    values, known = window(4)
    known[0] = torch.tensor([False, False, True, True, True])[:, None]
    assert encoder_of("tcn")(values, known).valid_nT[0].tolist() == [False, False, True, True, True]
    assert encoder_of("mlp")(values, known).valid_nT.tolist() == [[True]] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_it_learns_and_nothing_comes_pretrained(kind: str) -> None:
    encoder, (values, known) = encoder_of(kind), window(5)
    found = encoder(values, known)
    (found.vector_nD.square().sum() + found.tokens_nTW.square().sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert encoder.pretrained() == []


def test_a_faulty_kind_is_told() -> None:
    with pytest.raises(ConfigError, match="sensors: kind must be one of mlp, tcn"):
        NetworkConfig.parse({"sensors": {"kind": "lstm"}}, "x")
