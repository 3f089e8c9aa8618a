"""Pixels to a vector: a pretrained CNN pooled after every block, and a coarse colour histogram.

The last layer of an ImageNet network has thrown away what a shop asks for (colour, cut, material); pooling
every block keeps it at no cost. The first `frozen_blocks` stay as pretrained, so training can cache their output.

# n rows, S side, F features"""

from collections.abc import Iterable
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.config import ImageEncoder as ImageEncoderConfig
from models.errors import ConfigError
from models.nets.backbones import create_model, take_apart
from models.nets.encoders import OUTLIER, Encoded, Encoder, Projection, join_features


class Lower(NamedTuple):
    """What the frozen part gives for an image; training caches it.

    map_nCHW: output of the last frozen block; where nothing is frozen, the pixels, 0 to 255.
    pooled_nF: pooled features of the frozen blocks, and the colour histogram.
    """

    map_nCHW: Tensor
    pooled_nF: Tensor


class ImageEncoder(Encoder):
    """A backbone of timm's or torchvision's, from uint8 pixels to `width`."""

    mean: Tensor
    std: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: ImageEncoderConfig, width: int) -> None:
        super().__init__()
        backbone = take_apart(create_model(config.backbone))
        self.stem, self.blocks, self.head = backbone.stem, backbone.blocks, backbone.head
        self.has_head = backbone.has_head
        self.histogram = ColourHistogram(config.colour_bins) if config.colour_bins else None
        self.frozen_blocks = min(config.frozen_blocks, len(self.blocks))
        self.batch_statistics = False
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1) * 255, persistent=False)
        self.lower_width = (config.colour_bins**3 if config.colour_bins else 0) + 2 * sum(
            backbone.channels[: self.frozen_blocks]
        )
        features = self.lower_width + 2 * sum(backbone.channels[self.frozen_blocks :])
        self.grid = config.grid
        features += self.grid**2 * backbone.channels[len(self.blocks) - 1]
        # Features of different blocks differ a hundredfold in scale; see standardise().
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_std", torch.ones(features))
        self.project = Projection(features, config.hidden, width, config.dropout)
        # Its own dropout: of two ways from the same features, each learns without the other.
        self.shortcut = Projection(features, 0, width, config.dropout) if config.shortcut else None
        self.token_width = backbone.channels[len(self.blocks) - 1]
        self._head_width = backbone.channels[-1] if self.has_head else 0
        self._keeps_details = False

    @property
    def details_width(self) -> int:
        """The last block's map, and beside it the head's, which tells more of what is seen."""
        return self.token_width + self._head_width

    def keep_details(self) -> None:
        """See `Encoder.keep_details`."""
        self._keeps_details = self.has_head

    def forward(self, pixels: Tensor) -> Encoded:
        """(n, S, S, 3) uint8 → a vector, and a token for each cell of the last block's map."""
        return self.upper(self.lower(pixels))

    def lower(self, pixels: Tensor) -> Lower:
        """Run the frozen part on (n, S, S, 3) uint8 pixels."""
        current = pixels.permute(0, 3, 1, 2).float()
        pooled = [] if self.histogram is None else [self.histogram(current)]
        if self.frozen_blocks:
            current = self.stem(self._normalise(current))
            for block in self.blocks[: self.frozen_blocks]:
                current = block(current)
                pooled += pool(current)
        return Lower(current, join_features(pooled, current))

    def upper(self, lower: Lower) -> Encoded:
        """Run the trainable part."""
        if self.training and self.batch_statistics:
            # One image has no statistics (a 1 x 1 map of it leaves BatchNorm a single value).
            self._count_statistics(len(lower.map_nCHW) > 1)
        features_nF, last_nCHW, details_nTW = self._features(lower)
        features_nF = (features_nF - self.feature_mean) / self.feature_std
        features_nF = features_nF.clamp(-OUTLIER, OUTLIER)
        vector_nD = self.project(features_nF)
        if self.shortcut is not None:
            vector_nD = vector_nD + self.shortcut(features_nF)
        tokens_nTW = last_nCHW.flatten(2).transpose(1, 2)
        return Encoded(vector_nD, tokens_nTW, torch.ones_like(tokens_nTW[:, :, 0], dtype=torch.bool), details_nTW)

    @torch.no_grad()
    def standardise(self, lowers: Iterable[Lower]) -> None:
        """Measure the mean and deviation of every feature on some training images, a few at a time."""
        features_nF = torch.cat([self._features(lower)[0] for lower in lowers])
        self.feature_mean.copy_(features_nF.mean(0))
        # A feature that hardly varies is not blown up.
        self.feature_std.copy_(features_nF.std(0, correction=0) + 1e-2)

    def _normalise(self, raw_n3SS: Tensor) -> Tensor:
        return (raw_n3SS - self.mean) / self.std

    def _features(self, lower: Lower) -> tuple[Tensor, Tensor, Tensor | None]:
        """Pooled features (n, F) of all parts, the last block's map, and where they are kept, details."""
        current, pooled = lower.map_nCHW, [lower.pooled_nF] if self.lower_width else []
        if not self.frozen_blocks:
            current = self.stem(self._normalise(current))
        for block in self.blocks[self.frozen_blocks :]:
            current = block(current)
            pooled += pool(current)
        details_nTW: Tensor | None = None
        if self.has_head:
            last_nCHW = self.head(current)
            pooled += pool(last_nCHW)
            if self._keeps_details:
                details_nTW = torch.cat([current, last_nCHW], dim=1).flatten(2).transpose(1, 2)
        if self.grid:
            pooled.append(pool_cells(current, self.grid))
        return torch.cat(pooled, dim=1), current, details_nTW

    def pretrained(self) -> list[nn.Parameter]:
        """Those of the backbone's parameters that training may change."""
        parts = [*self.blocks[self.frozen_blocks :], self.head]
        if not self.frozen_blocks:
            parts.insert(0, self.stem)
        return [parameter for part in parts for parameter in part.parameters()]

    def fresh(self) -> list[nn.Parameter]:
        """Parameters that the backbone does not bring."""
        shortcut = [] if self.shortcut is None else list(self.shortcut.parameters())
        return [*self.project.parameters(), *shortcut]

    def train(self, mode: bool = True) -> Self:
        """As usual, but BatchNorm keeps its pretrained statistics, which small batches would ruin.

        Set `batch_statistics` where there are none to keep.
        """
        super().train(mode)
        self._count_statistics(mode and self.batch_statistics)
        return self

    def _count_statistics(self, counting: bool) -> None:
        for part in (self.stem, self.blocks, self.head):
            part.train(counting)


def pool(map_nCHW: Tensor) -> list[Tensor]:
    """Means over the whole map and over its middle half, where a product photo shows the product: 2 x (n, C)."""
    # int: a size that is traced as a tensor would be computed anew in every pass of the exported graph.
    height, width = int(map_nCHW.shape[2]), int(map_nCHW.shape[3])
    top, left = height // 4, width // 4
    middle = map_nCHW[:, :, top : height - top, left : width - left]
    return [map_nCHW.mean((2, 3)), middle.mean((2, 3))]


def pool_cells(map_nCHW: Tensor, grid: int) -> Tensor:
    """Means over the cells of a grid, (n, C grid²): where something is, which a mean over the whole map forgets.

    Raises:
        ConfigError: the cells would not be of one size.
    """
    # int: see `pool`.
    height, width = int(map_nCHW.shape[2]), int(map_nCHW.shape[3])
    if height % grid or width % grid:
        raise ConfigError(
            f"network.image.grid: {grid} does not divide the last block's map of {height} x {width} cells. Take a "
            "divisor, or another preprocessing.image.side_px."
        )
    return functional.avg_pool2d(map_nCHW, (height // grid, width // grid)).flatten(1)


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
