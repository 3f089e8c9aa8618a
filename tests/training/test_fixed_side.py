import numpy as np
import pytest
import torch
from timm.layers import Conv2dSame

from models.config import ImageEncoder as ImageEncoderConfig
from models.config import NetworkConfig
from models.nets.encoders.image import ImageEncoder
from models.nets.network import Network
from tests.tiny import picture, tiny_network
from training.export import LowerSession
from training.fixed_side import with_fixed_side


@pytest.fixture(scope="module")
def network() -> Network:
    """One whose backbone pads as TensorFlow does; the tiny one pads as torch does."""
    image = ImageEncoderConfig(backbone="tf_efficientnet_lite0", frozen_blocks=2, colour_bins=3, hidden=16)
    return tiny_network(NetworkConfig.tiny().model_copy(update={"image": image}))


def encode(network: Network, side: int) -> torch.Tensor:
    pixels = torch.from_numpy(np.stack([picture(seed, side, side) for seed in range(2)]))
    with torch.inference_mode():
        return network.encode("image", {"pixels": pixels})


@pytest.mark.parametrize("side", [32, 50, 64, 77])  # 50 and 77 halve to odd sides, which are padded otherwise
def test_fixed_padding_gives_the_same_numbers_at_its_side(network: Network, side: int) -> None:
    fixed = with_fixed_side(network, side)
    assert not any(isinstance(module, Conv2dSame) for module in fixed.modules())
    torch.testing.assert_close(encode(fixed, side), encode(network, side), rtol=0, atol=1e-5)


def test_the_network_itself_keeps_its_padding(network: Network) -> None:
    with_fixed_side(network, 64)
    assert any(isinstance(module, Conv2dSame) for module in network.modules())


def test_a_network_without_images_is_as_it_was() -> None:
    network = tiny_network(NetworkConfig.tiny().model_copy(update={"image": None}))
    assert with_fixed_side(network, 64).state_dict().keys() == network.state_dict().keys()


def test_the_cached_lower_half_pads_as_the_network_does_at_an_odd_side(network: Network) -> None:
    encoder = network.encoders["image"]
    assert isinstance(encoder, ImageEncoder)
    pixels = picture(0, 77, 77)[None]
    lower_map, pooled = LowerSession(encoder, 77).run(pixels)
    with torch.inference_mode():
        expected = encoder.lower(torch.from_numpy(pixels))
    np.testing.assert_allclose(lower_map, expected.map_nCHW.numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(pooled, expected.pooled_nF.numpy(), rtol=0, atol=1e-4)
