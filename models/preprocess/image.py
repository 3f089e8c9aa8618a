"""A decoded image to the network's pixels. Normalisation is part of the network, so that bytes cross the bus."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from models.batch import Arrays
from models.config import ImagePreprocessing
from models.sample import Sample

WHITE = (255, 255, 255)


class ImagePreprocessor:
    """Resizes to a square of `side_px`, bicubic, in one of three ways.

    squash: both sides to `side_px`, whatever the shape. Nothing is lost, shapes are distorted.
    pad: the whole image, its shape kept, on a white square.
    crop: the middle square of the image.
    """

    def __init__(self, config: ImagePreprocessing) -> None:
        self.config = config

    def prepare(self, sample: Sample) -> Arrays | None:
        """`pixels`: (side_px, side_px, 3) uint8; None without an image."""
        if sample.image is None:
            return None
        side = (self.config.side_px, self.config.side_px)
        height, width = sample.image.shape[:2]
        if (width, height) == side:
            return {"pixels": np.ascontiguousarray(sample.image)}
        image = Image.fromarray(sample.image)
        if self.config.resize == "squash":
            image = image.resize(side, Image.Resampling.BICUBIC)
        elif self.config.resize == "pad":
            image = ImageOps.pad(image, side, Image.Resampling.BICUBIC, color=WHITE)
        else:
            image = ImageOps.fit(image, side, Image.Resampling.BICUBIC)
        return {"pixels": np.asarray(image, dtype=np.uint8)}

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """What the square shows: left, top, right, bottom in shares of the image's sides; beyond them, padding."""
        if self.config.resize == "squash":
            return 0.0, 0.0, 1.0, 1.0
        side = max(height, width) if self.config.resize == "pad" else min(height, width)
        across, down = side / width, side / height
        return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2

    def collate(self, items: Sequence[Arrays]) -> Arrays:
        """`pixels`: (n, side_px, side_px, 3) uint8."""
        return {"pixels": np.stack([item["pixels"] for item in items])}

    def cost(self, arrays: Arrays) -> int:
        """Pixels."""
        return int(arrays["pixels"].size) // 3
