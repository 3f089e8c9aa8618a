from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from models.config import ImageEncoder as ImageEncoderConfig
from models.errors import ConfigError
from models.nets.encoders.image import ImageEncoder
from tests.tiny import picture
from training.pretrained import PACKAGED, load_backbone

BACKBONE = "test_efficientnet"


def encoder_of(backbone: str = BACKBONE) -> ImageEncoder:
    return ImageEncoder(ImageEncoderConfig(backbone=backbone, hidden=8, colour_bins=0), 8).eval()


def test_a_file_in_timm_s_naming_fills_stem_blocks_and_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model(BACKBONE, pretrained=False, num_classes=0).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    encoder = encoder_of()
    assert load_backbone(encoder, BACKBONE, str(tmp_path / "weights.safetensors")) == "weights.safetensors"
    pixels = torch.from_numpy(picture(0, 64, 64)[None])
    with torch.inference_mode():
        current = encoder.lower(pixels).map_nCHW
        for block in encoder.blocks[encoder.frozen_blocks :]:
            current = block(current)
        expected = model.forward_features((pixels.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
        found = encoder.head(current)
    torch.testing.assert_close(found, expected)


def test_a_file_that_lacks_tensors_is_refused(tmp_path: Path) -> None:
    state = timm.create_model(BACKBONE, pretrained=False).state_dict()
    state.pop("conv_stem.weight")
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"lacks 1 tensors of test_efficientnet, e\.g\. conv_stem\.weight"):
        load_backbone(encoder_of(), BACKBONE, str(tmp_path / "weights.safetensors"))


def test_no_such_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no file 'none\.safetensors'"):
        load_backbone(encoder_of(), BACKBONE, "none.safetensors")


def test_only_one_backbone_comes_as_a_package() -> None:
    with pytest.raises(ConfigError, match=f"only {PACKAGED} comes as a package"):
        load_backbone(encoder_of(), BACKBONE, "package")


def test_none_leaves_the_weights_as_they_are() -> None:
    encoder = encoder_of()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert load_backbone(encoder, BACKBONE, "none") == "none (random weights)"
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_packaged_weights_are_trained_ones_and_name_their_licence() -> None:
    encoder = encoder_of(PACKAGED)
    assert "Apache-2.0" in load_backbone(encoder, PACKAGED, "package")
    # Trained BatchNorms have seen data; fresh ones have mean 0 and variance 1.
    statistics = [value for name, value in encoder.state_dict().items() if name.endswith("running_mean")]
    assert len(statistics) > 40
    assert all(value.abs().max() > 0 for value in statistics)
    with torch.inference_mode():
        lower = encoder.lower(torch.from_numpy(picture(0, 64, 64)[None]))
    assert torch.isfinite(lower.map_nCHW).all()
    assert 0.1 < lower.map_nCHW.std() < 10  # statistics in another tensor's place would blow this up
