"""Image backbones by name, each taken apart into a stem, blocks and a head that run one after the other.

Knows timm's and torchvision's models; knows nothing of pooling, freezing or pretrained weights.

# n images, C channels, T tokens"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import timm
import torch
import torchvision
from torch import Tensor, nn

from models.errors import ConfigError

SMALL_CNN = "small_cnn"
TORCHVISION = "torchvision/"

# Children of torchvision's models, in the order in which they run; the last list is the blocks.
_TORCHVISION_LAYOUTS = (
    (("conv1", "bn1", "relu", "maxpool"), ("layer1", "layer2", "layer3", "layer4")),
    (("conv1", "maxpool"), ("stage2", "stage3", "stage4", "conv5")),
)


class Backbone(NamedTuple):
    """(n, 3, S, S) normalised pixels → stem → each block → head, every one a map (n, C, H, W)."""

    stem: nn.Module
    blocks: nn.Sequential
    head: nn.Module
    channels: tuple[int, ...]
    """C after each block, and after the head where that is not the identity."""

    @property
    def has_head(self) -> bool:
        """Whether the head does anything."""
        return not isinstance(self.head, nn.Identity)


def create_model(name: str, **options: Any) -> nn.Module:
    """The whole model in its library's own form, with random weights; what `take_apart` takes.

    Args:
        name: timm's name, `torchvision/<name>`, or `small_cnn`.
        options: for timm's `create_model`, such as where it gets pretrained weights from.

    Raises:
        ConfigError: no such model.
    """
    try:
        if name == SMALL_CNN:
            return SmallCnn()
        if name.startswith(TORCHVISION):
            found: nn.Module = torchvision.models.get_model(name.removeprefix(TORCHVISION), weights=None)
            return found
        return _timm_model(name, options)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"network.image.backbone {name!r}: {error}. Take a name of timm's (timm.list_models()), "
            f"torchvision/<name>, or {SMALL_CNN}."
        ) from None


def _timm_model(name: str, options: dict[str, Any]) -> nn.Module:
    whole: nn.Module = timm.create_model(name, num_classes=0, **options)
    if all(hasattr(whole, part) for part in ("conv_stem", "blocks", "conv_head", "bn2")):
        return whole  # EfficientNet, whose head is worth pooling too
    try:
        features: nn.Module = timm.create_model(name, features_only=True, **options)
    except (RuntimeError, AttributeError, ValueError, AssertionError):
        return _Whole(whole)
    is_list = hasattr(features, "return_layers") and str(features.output_fmt).endswith("NCHW")
    return features if is_list or hasattr(features, "conv_stem") else _Whole(_any_size(name, whole, options))


def _any_size(name: str, whole: nn.Module, options: dict[str, Any]) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, num_classes=0, dynamic_img_size=True, **options)
    except TypeError:  # a model that is bound to its side, or takes any
        return whole
    return model


def take_apart(model: nn.Module) -> Backbone:
    """The parts of what `create_model` gave, sharing its weights.

    Raises:
        ConfigError: a layout that is not known.
    """
    if isinstance(model, SmallCnn | _Whole):
        stem, blocks, head = model.stem, list(model.blocks), nn.Identity()
    elif hasattr(model, "conv_head"):
        stem, blocks = nn.Sequential(model.conv_stem, model.bn1), list(model.blocks)  # type: ignore[arg-type]
        head = nn.Sequential(model.conv_head, model.bn2)  # type: ignore[arg-type, assignment]
    elif hasattr(model, "return_layers"):
        stem, *blocks = _groups(model.named_children(), set(model.return_layers))  # type: ignore[arg-type]
        head = nn.Identity()
    elif hasattr(model, "conv_stem"):
        first = [part for name, part in model.named_children() if name != "blocks"]
        stem, blocks, head = nn.Sequential(*first), list(model.blocks), nn.Identity()  # type: ignore[arg-type]
    else:
        stem, blocks = _torchvision_parts(model)
        head = nn.Identity()
    backbone = Backbone(stem, nn.Sequential(*blocks), head, ())
    return backbone._replace(channels=_channels(backbone, training=model.training))


def _groups(children: Iterable[tuple[str, nn.Module]], ends: set[str]) -> list[nn.Module]:
    """Modules that run in order, one group for each that ends with one of `ends`."""
    groups: list[nn.Module] = []
    current: list[nn.Module] = []
    for name, module in children:
        current.append(module)
        if name in ends:
            groups.append(nn.Sequential(*current))
            current = []
    return groups


def _torchvision_parts(model: nn.Module) -> tuple[nn.Module, list[nn.Module]]:
    if isinstance(features := getattr(model, "features", None), nn.Sequential):
        stem, *blocks = features
        return stem, blocks
    if hasattr(model, "trunk_output"):
        return model.stem, list(model.trunk_output)  # type: ignore[return-value, arg-type]
    for first, rest in _TORCHVISION_LAYOUTS:
        if all(hasattr(model, name) for name in (*first, *rest)):
            return (
                nn.Sequential(*(getattr(model, name) for name in first)),
                [getattr(model, name) for name in rest],
            )
    raise ConfigError(
        f"network.image.backbone: torchvision's {type(model).__name__} is not known here. Use timm's model of "
        "that name, which is."
    )


@torch.no_grad()
def _channels(backbone: Backbone, *, training: bool) -> tuple[int, ...]:
    """C after each part, found by running a small image; leaves the parts in the mode that the model was in."""
    parts = [*backbone.blocks, backbone.head] if backbone.has_head else list(backbone.blocks)
    if isinstance(parts[0], _Whole):  # which may take no other side than its own
        return (parts[0].num_features,)
    for part in (backbone.stem, *parts):
        part.eval()  # BatchNorm must not count this image
    current = backbone.stem(torch.zeros(1, 3, 64, 64))
    channels = []
    for part in parts:
        current = part(current)
        channels.append(int(current.shape[1]))
    for part in (backbone.stem, backbone.blocks, backbone.head):
        part.train(training)
    return tuple(channels)


class _Whole(nn.Module):
    """A model that cannot be taken apart: one block, whose tokens or channels-last map become a map."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.num_features = int(model.num_features)  # type: ignore[arg-type]

    @property
    def stem(self) -> nn.Module:
        return nn.Identity()

    @property
    def blocks(self) -> list[nn.Module]:
        return [self]

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, S, S) → (n, C, H, W)."""
        features: Tensor = self.model.forward_features(pixels)  # type: ignore[operator]
        if features.ndim == 3:
            patches_nTC = features[:, int(getattr(self.model, "num_prefix_tokens", 0)) :]
            side = round(int(patches_nTC.shape[1]) ** 0.5)
            return patches_nTC.transpose(1, 2).reshape(-1, int(patches_nTC.shape[2]), side, side)
        if features.shape[1] != self.num_features:
            return features.permute(0, 3, 1, 2)
        return features


class SmallCnn(nn.Module):
    """The method's own: three convolutions, each halving the sides, from random weights.

    GroupNorm in BatchNorm's place (Wu and He 2018): it counts nothing that a small batch could spoil.
    """

    def __init__(self, channels: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        self.stem = _convolution(3, channels[0])
        self.blocks = nn.Sequential(*(_convolution(channels[place], channels[place + 1]) for place in (0, 1)))


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.GroupNorm(8, outputs), nn.ReLU()
    )
