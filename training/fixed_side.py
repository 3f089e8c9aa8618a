"""Fix what depends on an image's side before export, for the side of a checkpoint never changes.

TensorFlow's "same" padding depends on it, so timm computes it anew in every forward pass: half of the nodes of an
exported EfficientNet-Lite0, and 15 % of its time on one core. A transformer's positions are stretched to it, by an
operator that ONNX does not have."""

import copy
import math

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from models.nets.network import Network


def with_fixed_side(network: Network, side_px: int) -> Network:
    """A copy of `network` for images of (side_px, side_px) only; the same weights give the same numbers."""
    fixed = copy.deepcopy(network)
    if "image" not in fixed.encoders:
        return fixed
    encoder = fixed.encoders["image"]
    for module in encoder.modules():
        if hasattr(module, "set_input_size") and hasattr(module, "pos_embed"):
            module.set_input_size(img_size=(side_px, side_px))  # type: ignore[operator]
    sides: dict[str, torch.Size] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: sides.update({name: _spatial(inputs)}))
        for name, module in encoder.named_modules()
        if isinstance(module, Conv2dSame)
    ]
    with torch.no_grad():
        encoder(torch.zeros(1, side_px, side_px, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    for name, (height, width) in sides.items():
        parent, _, leaf = name.rpartition(".")
        convolution = encoder.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)  # noqa: S101 - for the type checker
        setattr(encoder.get_submodule(parent), leaf, _fixed(convolution, height, width))
    return fixed


def _spatial(inputs: tuple[Tensor, ...]) -> torch.Size:
    return inputs[0].shape[-2:]


def _fixed(convolution: nn.Conv2d, height: int, width: int) -> nn.Sequential:
    """Explicit zeros, then the convolution without any: ONNX Runtime folds the two into one again."""
    top, bottom = _same(height, convolution, 0)
    left, right = _same(width, convolution, 1)
    plain = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (convolution.kernel_size[0], convolution.kernel_size[1]),
        (convolution.stride[0], convolution.stride[1]),
        dilation=(convolution.dilation[0], convolution.dilation[1]),
        groups=convolution.groups,
        bias=convolution.bias is not None,
    )
    plain.weight, plain.bias = convolution.weight, convolution.bias
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain)


def _same(side: int, convolution: nn.Conv2d, axis: int) -> tuple[int, int]:
    """Padding before and after one axis, so that the output has ceil(side / stride) cells (TensorFlow's SAME)."""
    stride = convolution.stride[axis]
    reach = convolution.dilation[axis] * (convolution.kernel_size[axis] - 1) + 1
    total = max((math.ceil(side / stride) - 1) * stride + reach - side, 0)
    return total // 2, total - total // 2
