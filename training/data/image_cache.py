"""Frozen image features on disk: the output of the encoder's lower half, once per image and mirroring.

Computing them is most of an epoch, and they never change while the lower half is frozen. Files of plain rows, so
that data larger than memory streams; keyed by everything that changes them."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.nets.encoders.image import ImageEncoder, Lower
from training.data.row_file import RowFile
from training.export import LowerSession

_LOG = logging.getLogger(__name__)

BATCH = 16  # larger batches are no faster on a CPU and hold more memory


@dataclass(frozen=True, slots=True, eq=False)
class LowerCache:
    """V variants (1, or 2 with mirrored) of I images, all images in one variant and then in the next.

    maps: (C, H, W) float16, what the last frozen block gives; uint8 pixels where none is frozen.
    pooled: (F,) float32, what the frozen blocks and the histogram are pooled to.
    """

    maps: RowFile
    pooled: RowFile
    num_images: int
    num_variants: int

    @property
    def holds_pixels(self) -> bool:
        """Whether no block is frozen, so that the pixels themselves are kept: decoded once, not every epoch."""
        return self.maps.kind == np.uint8

    def load(self, variants_n: NDArray[np.intp], images_n: NDArray[np.intp]) -> Lower:
        """Read the rows of n images, each in the variant given."""
        rows = (variants_n * self.num_images + images_n).tolist()
        return Lower(torch.from_numpy(self.maps.take(rows)).float(), torch.from_numpy(self.pooled.take(rows)))


def open_lower_cache(
    folder: Path,
    encoder: ImageEncoder,
    *,
    key: str,
    num_images: int,
    pixels_of: Callable[[Sequence[int]], NDArray[np.uint8]],
    mirror: bool,
    advance: Callable[[int], None],
) -> LowerCache:
    """Open the cache for these images and this encoder, computing what is not there yet.

    Interrupted, it goes on where it stopped. `advance` is told how many images are done.

    Args:
        folder: where caches are kept.
        encoder: its frozen lower half is what is cached.
        key: identifies the images, their order and their preprocessing.
        num_images: I.
        pixels_of: prepared pixels (n, S, S, 3) uint8 of the images asked for.
        mirror: also cache every image mirrored, where blocks are frozen.
        advance: progress, in images.
    """
    first = pixels_of([0])
    shape_CHW, width = _shapes(encoder, first)
    # Pixels are mirrored as they are drawn, which costs nothing; a map would have to be computed again.
    variants = 2 if mirror and encoder.frozen_blocks else 1
    kind = np.float16 if encoder.frozen_blocks else np.uint8
    path = folder / _digest(encoder, key, num_images, variants)
    path.mkdir(parents=True, exist_ok=True)
    progress_file = path / "progress.json"
    done = int(json.loads(progress_file.read_text())["images"]) if progress_file.exists() else 0
    maps = RowFile.open(path / "maps", kind, shape_CHW, keep=bool(done))
    pooled = RowFile.open(path / "pooled", np.float32, (width,), keep=bool(done))
    advance(done)
    if done < num_images:
        compute = _lower_half(encoder, first.shape[1])
        for start in range(done, num_images, BATCH):
            images = range(start, min(start + BATCH, num_images))
            pixels = pixels_of(images)
            for variant in range(variants):
                lower_map, lower_pooled = compute(pixels[:, :, ::-1] if variant else pixels)
                maps.write(variant * num_images + start, lower_map)
                pooled.write(variant * num_images + start, lower_pooled)
            if start % (BATCH * 32) == 0 or images[-1] == num_images - 1:
                maps.sync()
                pooled.sync()
                partial = progress_file.with_suffix(".partial")
                partial.write_text(json.dumps({"images": images[-1] + 1}))
                partial.replace(progress_file)
            advance(len(images))
    return LowerCache(maps, pooled, num_images, variants)


Compute = Callable[[NDArray[np.uint8]], tuple[NDArray[np.generic], NDArray[np.float32]]]


def _lower_half(encoder: ImageEncoder, side_px: int) -> Compute:
    """(n, S, S, 3) uint8 → map and pooled features, by ONNX Runtime where it can and there is much to do."""

    @torch.inference_mode()
    def eager(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
        lower = encoder.lower(torch.from_numpy(np.ascontiguousarray(pixels)))
        return lower.map_nCHW.numpy(), lower.pooled_nF.numpy()

    if not encoder.frozen_blocks:
        return eager
    try:
        return LowerSession(encoder, side_px).run
    except Exception:  # the exporter and the runtime have no error of their own for "cannot express this"
        _LOG.info("the frozen blocks cannot be exported to ONNX; torch computes them", exc_info=True)
        return eager


def _shapes(encoder: ImageEncoder, pixels: NDArray[np.uint8]) -> tuple[tuple[int, ...], int]:
    with torch.inference_mode():
        lower = encoder.lower(torch.from_numpy(pixels))
    return tuple(lower.map_nCHW.shape[1:]), lower.pooled_nF.shape[1]


def _digest(encoder: ImageEncoder, key: str, num_images: int, variants: int) -> str:
    """What changes a feature: the frozen weights, how they are pooled, the images and their preprocessing."""
    digest = hashlib.sha256(f"{key}:{num_images}:{variants}:{encoder.frozen_blocks}".encode())
    parts: list[nn.Module] = [encoder.stem, *list(encoder.blocks)[: encoder.frozen_blocks]]
    for part in parts:
        for value in part.state_dict().values():
            digest.update(value.numpy().tobytes())
    if encoder.histogram is not None:
        digest.update(str(encoder.histogram.bins).encode())
    digest.update(encoder.mean.numpy().tobytes() + encoder.std.numpy().tobytes())
    return digest.hexdigest()[:16]
