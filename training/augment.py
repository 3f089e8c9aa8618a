"""Random changes to a training batch: windows and gains of cached image maps, forgotten subwords.

Acts on cached maps rather than pixels: a cell of a 14 x 14 map is 16 pixels of the photo.

# n rows, C channels, H height, W width, T tokens"""

import numpy as np
import torch
from torch import Tensor

from models.nets.encoders.image import Lower
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


def drop_subwords(ids_nT: Tensor, config: Augmentation, unknown_id: int, generator: torch.Generator) -> Tensor:
    """Replace a share of the subwords by the unknown token, so that no single word decides."""
    if not config.subword_dropout:
        return ids_nT
    dropped_nT = torch.rand(ids_nT.shape, generator=generator) < config.subword_dropout
    return ids_nT.masked_fill(dropped_nT & (ids_nT != 0), unknown_id)
