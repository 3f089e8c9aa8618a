"""Backbones of every family that is known: taken apart, they are what they were."""

import pytest
import torch
from torch import nn

from models.config import ImageEncoder as ImageEncoderConfig
from models.errors import ConfigError
from models.nets.backbones import create_model, take_apart
from models.nets.encoders.image import ImageEncoder
from tests.tiny import picture

# One of each layout, small.
NAMES = [
    "test_efficientnet",  # with a head
    "test_resnet",  # a list of features
    "test_convnext",
    "mobilenetv3_small_050",  # features without a head
    "test_vit",  # tokens
    "torchvision/resnet18",
    "torchvision/mobilenet_v3_small",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/regnet_x_400mf",
    "small_cnn",
]


def run(parts: list[nn.Module], pixels: torch.Tensor) -> torch.Tensor:
    for part in parts:
        pixels = part(pixels)
    return pixels


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_gives_an_encoder_of_any_split(name: str) -> None:
    pixels = torch.from_numpy(picture(0, 64, 64)[None])
    torch.manual_seed(0)
    whole = ImageEncoder(ImageEncoderConfig(backbone=name, hidden=8, frozen_blocks=0), 8).eval()
    with torch.inference_mode():
        expected = whole(pixels)
        assert expected.tokens_nTW is not None
        for frozen in range(1, len(whole.blocks) + 1):
            whole.frozen_blocks = frozen
            found = whole(pixels)
            torch.testing.assert_close(found.vector_nD, expected.vector_nD)
            torch.testing.assert_close(found.tokens_nTW, expected.tokens_nTW)
    learning = {id(parameter) for parameter in whole.pretrained()}
    assert not any(id(parameter) in learning for part in whole.blocks for parameter in part.parameters())


@pytest.mark.parametrize("name", ["test_efficientnet", "torchvision/resnet18"])
def test_its_parts_in_a_row_are_its_library_s_own_features(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name).eval()
    parts = take_apart(model)
    pixels = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        found = run([parts.stem, *parts.blocks, parts.head], pixels)
        if name == "test_efficientnet":
            expected = model.forward_features(pixels)  # type: ignore[operator]
        else:
            model.avgpool = model.fc = nn.Identity()
            expected = model(pixels).view(found.shape)
    torch.testing.assert_close(found, expected)
    assert parts.channels[-1] == found.shape[1]


@pytest.mark.parametrize(
    ("name", "says"),
    [("resnet0", "timm"), ("torchvision/resnet0", "resnet0"), ("torchvision/vit_b_16", "not known here")],
)
def test_an_unknown_backbone_is_told(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        take_apart(create_model(name))


def test_a_backbone_without_pretrained_weights_counts_its_own_statistics() -> None:
    encoder = ImageEncoder(ImageEncoderConfig(backbone="test_resnet", hidden=8, frozen_blocks=0), 8)
    encoder.batch_statistics = True
    norms = [module for module in encoder.train().modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(norm.training for norm in norms)
