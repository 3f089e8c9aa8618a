"""Pixels to a vector: a pretrained CNN pooled after every block, and a coarse colour histogram.

The last layer of an ImageNet network has thrown away what a shop asks for (colour, cut, material); pooling
every block keeps it at no cost. The first `frozen_blocks` stay as pretrained, so training can cache their output.

# n rows, S side, F features"""

from typing import NamedTuple, Self, cast

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.config import ImageEncoder as ImageEncoderConfig

OUTLIER = 6.0  # standardised features beyond it say "unlike the training data" and no more


class Lower(NamedTuple):
    """What the frozen part gives for an image; training caches it.

    map_nCHW: output of the last frozen block.
    pooled_nF: pooled features of the frozen blocks, and the colour histogram.
    """

    map_nCHW: Tensor
    pooled_nF: Tensor


class ImageEncoder(nn.Module):
    """A timm EfficientNet or MobileNet (a stem, `blocks`, a head), from uint8 pixels to `width`."""

    mean: Tensor
    std: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: ImageEncoderConfig, width: int) -> None:
        super().__init__()
        backbone = timm.create_model(config.backbone, pretrained=False, num_classes=0)
        self.stem = nn.Sequential(backbone.conv_stem, backbone.bn1)
        self.blocks = cast(nn.Sequential, backbone.blocks)
        self.head = nn.Sequential(backbone.conv_head, backbone.bn2)
        self.histogram = ColourHistogram(config.colour_bins) if config.colour_bins else None
        self.frozen_blocks = min(config.frozen_blocks, len(self.blocks))
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1) * 255, persistent=False)
        lower, upper = self._pooled_widths()
        # Features of different blocks differ a hundredfold in scale; see standardise().
        self.register_buffer("feature_mean", torch.zeros(lower + upper))
        self.register_buffer("feature_std", torch.ones(lower + upper))
        self.project = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(lower + upper, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, width),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, S, S, 3) uint8 → (n, D)."""
        return self.upper(self.lower(pixels))

    def lower(self, pixels: Tensor) -> Lower:
        """Run the frozen part on (n, S, S, 3) uint8 pixels."""
        raw_n3SS = pixels.permute(0, 3, 1, 2).float()
        current = self.stem((raw_n3SS - self.mean) / self.std)
        pooled = [] if self.histogram is None else [self.histogram(raw_n3SS)]
        for block in self.blocks[: self.frozen_blocks]:
            current = block(current)
            pooled += pool(current)
        return Lower(current, torch.cat(pooled, dim=1))

    def upper(self, lower: Lower) -> Tensor:
        """Run the trainable part → (n, D)."""
        features_nF = (self._features(lower) - self.feature_mean) / self.feature_std
        projected: Tensor = self.project(features_nF.clamp(-OUTLIER, OUTLIER))
        return projected

    @torch.no_grad()
    def standardise(self, lower: Lower) -> None:
        """Measure the mean and deviation of every feature on some training images."""
        features_nF = self._features(lower)
        self.feature_mean.copy_(features_nF.mean(0))
        self.feature_std.copy_(
            features_nF.std(0, correction=0) + 1e-2
        )  # a feature that hardly varies is not blown up

    def _features(self, lower: Lower) -> Tensor:
        current, pooled = lower.map_nCHW, [lower.pooled_nF]
        for block in self.blocks[self.frozen_blocks :]:
            current = block(current)
            pooled += pool(current)
        pooled += pool(self.head(current))
        return torch.cat(pooled, dim=1)

    def backbone(self) -> list[nn.Parameter]:
        """All pretrained parameters."""
        return [*self.stem.parameters(), *self.blocks.parameters(), *self.head.parameters()]

    def upper_backbone(self) -> list[nn.Parameter]:
        """The pretrained parameters that training may change."""
        return [*self.blocks[self.frozen_blocks :].parameters(), *self.head.parameters()]

    def train(self, mode: bool = True) -> Self:
        """As usual, but BatchNorm keeps its pretrained statistics: small batches would ruin them."""
        super().train(mode)
        for part in (self.stem, self.blocks, self.head):
            part.eval()
        return self

    def _pooled_widths(self) -> tuple[int, int]:
        """Features that the frozen part and the trainable part pool, found by running a small image."""
        with torch.no_grad():
            lower = self.lower(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
            current, upper = lower.map_nCHW, 0
            for block in self.blocks[self.frozen_blocks :]:
                current = block(current)
                upper += 2 * current.shape[1]
            upper += 2 * self.head(current).shape[1]
        return lower.pooled_nF.shape[1], upper


def pool(map_nCHW: Tensor) -> list[Tensor]:
    """Means over the whole map and over its middle half, where a product photo shows the product: 2 x (n, C)."""
    # int: a size that is traced as a tensor would be computed anew in every pass of the exported graph.
    height, width = int(map_nCHW.shape[2]), int(map_nCHW.shape[3])
    top, left = height // 4, width // 4
    middle = map_nCHW[:, :, top : height - top, left : width - left]
    return [map_nCHW.mean((2, 3)), middle.mean((2, 3))]


class ColourHistogram(nn.Module):
    """Joint RGB histogram with `bins` per channel, each pixel shared linearly between its nearest bins.

    Made of differences, ReLUs and a matrix product, so it exports, and a small change of colour is a small
    change of the histogram. Square roots spread the rare colours out (the Hellinger kernel).
    """

    centres: Tensor
    grid = 56  # pixels a side that are counted: a quarter of 224

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.register_buffer("centres", torch.linspace(0, 255, bins).view(1, bins, 1), persistent=False)
        self.step = 255 / (bins - 1)

    def forward(self, raw_n3SS: Tensor) -> Tensor:
        """(n, 3, S, S), 0 to 255 → (n, bins ** 3), roots of shares that sum to one."""
        side = max(1, int(raw_n3SS.shape[2]) // self.grid)
        pixels_n3P = functional.avg_pool2d(raw_n3SS, side).flatten(2)
        red, green, blue = (
            torch.relu(1 - (pixels_n3P[:, channel, None] - self.centres).abs() / self.step) for channel in range(3)
        )
        pairs_nKP = (red[:, :, None] * green[:, None]).flatten(1, 2)
        shares_nKB = pairs_nKP @ blue.transpose(1, 2) / pixels_n3P.shape[2]
        return (shares_nKB.flatten(1) + 1e-6).sqrt()
