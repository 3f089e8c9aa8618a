"""Random changes to a training batch: of cached image maps, or of pixels where no block is frozen; and of texts.

A cell of a 14 x 14 map is 16 pixels of the photo.

# n rows, C channels, H height, W width, T tokens"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.nets.encoders.image import Lower
from models.nets.encoders.text import TextLower
from training.augmentation import Augmentation

CUTOUT_SHARE = 0.3  # of a map's side
MIXUP_ALPHA = 0.4  # of the Beta distribution that the share of the second image is drawn from

CROP_LOG_RATIO = 0.223  # a crop is at most 1.25 times as wide as it is high, or as high as wide
LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


def augment_maps(lower: Lower, config: Augmentation, generator: torch.Generator) -> Lower:
    """One random window of the maps for the whole batch; then, each map by itself, a blanked square and a gain."""
    map_nCHW = _window(lower.map_nCHW, config.map_crop, generator)
    count, _, height, width = map_nCHW.shape
    size = max(1, round(CUTOUT_SHARE * min(height, width)))
    for item in torch.nonzero(torch.rand(count, generator=generator) < config.map_cutout).flatten().tolist():
        top = int(torch.randint(0, height - size + 1, (), generator=generator))
        left = int(torch.randint(0, width - size + 1, (), generator=generator))
        map_nCHW[item, :, top : top + size, left : left + size] = 0
    if config.map_noise:
        map_nCHW = map_nCHW * (1 + config.map_noise * torch.randn(count, 1, 1, 1, generator=generator))
    return lower._replace(map_nCHW=map_nCHW)


def mix_maps(lower: Lower, config: Augmentation, generator: torch.Generator) -> tuple[Lower, Tensor, float]:
    """Blend each image with another of the batch (Zhang et al. 2018, mixup), on cached maps and pooled features.

    Returns:
        The blend, the index (n,) of each image's partner, and the partner's share; 0 leaves all as it was.
    """
    count = len(lower.map_nCHW)
    partner_n = torch.randperm(count, generator=generator)
    if float(torch.rand((), generator=generator)) >= config.map_mixup:
        return lower, partner_n, 0.0
    seed = int(torch.randint(0, 1 << 31, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(MIXUP_ALPHA, MIXUP_ALPHA))
    blended = Lower(*(part + share * (part[partner_n] - part) for part in lower))
    return blended, partner_n, share


def _window(map_nCHW: Tensor, crop: int, generator: torch.Generator) -> Tensor:
    """A window that is up to `crop` cells smaller a side. Smaller maps are also cheaper to train on."""
    height, width = map_nCHW.shape[2:]
    crop = min(crop, height - 1, width - 1)
    lost = torch.randint(0, crop + 1, (2,), generator=generator).tolist()
    top, left = (int(torch.randint(0, cells + 1, (), generator=generator)) for cells in lost)
    return map_nCHW[:, :, top : top + height - lost[0], left : left + width - lost[1]].clone()


def augment_pixels(lower: Lower, config: Augmentation, generator: torch.Generator) -> Lower:
    """Each image by itself: mirrored or not, a random part of it at the full side, in other light and colours.

    As torchvision's RandomResizedCrop and ColorJitter (without hue), but all images at once: one by one, these
    take longer than a small network's step, and they draw from a generator that dropout draws from too.
    """
    raw_n3SS, count = lower.map_nCHW, len(lower.map_nCHW)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    mirrored_n = uniform(0, 1) < 0.5 if config.mirror else torch.zeros(count, dtype=torch.bool)
    if config.pixel_crop < 1:
        area, ratio = uniform(config.pixel_crop, 1.0), torch.exp(uniform(-CROP_LOG_RATIO, CROP_LOG_RATIO))
        width, height = (area * ratio).sqrt().clamp(max=1.0), (area / ratio).sqrt().clamp(max=1.0)
        left, top = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
        sign = torch.where(mirrored_n, -1.0, 1.0)
        zero = torch.zeros(count)
        part_n6 = torch.stack([sign * width, zero, sign * left, zero, height, top], dim=1)
        places = functional.affine_grid(part_n6.view(count, 2, 3), list(raw_n3SS.shape), align_corners=False)
        raw_n3SS = functional.grid_sample(raw_n3SS, places, padding_mode="border", align_corners=False)
    elif config.mirror:
        raw_n3SS = torch.where(mirrored_n.view(-1, 1, 1, 1), raw_n3SS.flip(3), raw_n3SS)
    if config.pixel_colour:
        low, high = 1 - config.pixel_colour, 1 + config.pixel_colour
        light, contrast, colour = (uniform(low, high).view(-1, 1, 1) for _ in range(3))
        # Each of the three is linear in a pixel, so one 3 x 3 matrix for an image is all of them in one pass:
        # its light, its distance to the image's mean, and each colour's distance to the pixel's own grey.
        mixing_n33 = colour * torch.eye(3) + (1 - colour) * LUMA.expand(count, 3, 3)
        flat_n3P = raw_n3SS.flatten(2)
        middle_n11 = light * flat_n3P.mean((1, 2), keepdim=True)
        mixed_n3P = torch.baddbmm((1 - contrast) * middle_n11, contrast * light * mixing_n33, flat_n3P)
        raw_n3SS = mixed_n3P.clamp_(0, 255).view_as(raw_n3SS)
    if config.pixel_broken:
        broken = torch.nonzero(uniform(0, 1) < config.pixel_broken).flatten().tolist()
        raw_n3SS = raw_n3SS.clone() if broken else raw_n3SS  # it may be the cache's own
        for place in broken:
            noise = bool(torch.rand((), generator=generator) < 0.5)
            shape = raw_n3SS.shape[1:] if noise else (3, 1, 1)
            raw_n3SS[place] = 255 * torch.rand(shape, generator=generator)
    return lower._replace(map_nCHW=raw_n3SS)


def drop_subwords(
    lower: TextLower, config: Augmentation, unknown_id: int, generator: torch.Generator
) -> TextLower:
    """Forget a share of the subwords, so that no single word decides: ids become unknown, cached states zero."""
    if not config.subword_dropout:
        return lower
    states = lower.states_nTW
    dropped_nT = torch.rand(states.shape[:2], generator=generator) < config.subword_dropout
    if states.ndim == 2:
        return lower._replace(states_nTW=states.masked_fill(dropped_nT & (states != 0), unknown_id))
    return lower._replace(states_nTW=states.masked_fill(dropped_nT[:, :, None], 0.0))
