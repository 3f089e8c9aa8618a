"""Random changes to a training batch: of cached image maps, or of pixels where no block is frozen; and of texts.

A cell of a 14 x 14 map is 16 pixels of the photo.

# n rows, C channels, H height, W width, T tokens"""

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from models.nets.encoders.image import Lower
from models.nets.encoders.text import TextLower
from training.recipe import Augmentation

CUTOUT_SHARE = 0.3  # of a map's side
MIXUP_ALPHA = 0.4  # of the Beta distribution that the share of the second image is drawn from


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
    """Each image by itself: a random part of it at the full side, mirrored or not, with other light and colours.

    torchvision's transforms draw from torch's own generator, which is seeded from ours.
    """
    seed = int(torch.randint(0, 1 << 62, (), generator=generator))
    side = (lower.map_nCHW.shape[2], lower.map_nCHW.shape[3])
    steps: list[nn.Module] = []
    if config.pixel_crop < 1:
        steps.append(v2.RandomResizedCrop(side, scale=(config.pixel_crop, 1.0), ratio=(0.8, 1.25)))
    if config.mirror:
        steps.append(v2.RandomHorizontalFlip())
    if config.pixel_colour:
        strength = config.pixel_colour
        steps.append(v2.ColorJitter(strength, strength, strength, min(0.5, 0.1 * strength)))
    if not steps:
        return lower
    change = v2.Compose(steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        images = [change(image_CHW) for image_CHW in lower.map_nCHW.to(torch.uint8)]
    return lower._replace(map_nCHW=torch.stack(images).float())


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
