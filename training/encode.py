"""Training inputs through the encoders, and the subsets of the modalities that are shown to the fusion.

# B batch, M modalities, D width, n rows that have a modality"""

from collections.abc import Iterable
from itertools import combinations

import torch
from torch import Tensor

from models.nets.encoders.image import ImageEncoder
from models.nets.network import Network
from training.batches import BatchSource, EncoderInputs
from training.data import Rows

EVALUATION_BATCH = 64


def subsets(modalities: Iterable[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset of the modalities, smallest first."""
    names = tuple(modalities)
    return [part for size in range(1, len(names) + 1) for part in combinations(names, size)]


def encode(network: Network, modality: str, inputs: EncoderInputs) -> Tensor:
    """One modality's training inputs → (n, D) fp32; the frozen lower half of images comes from the cache."""
    if modality == "image":
        assert inputs.image is not None  # noqa: S101 - callers ask only for what is there
        encoder = network.encoders["image"]
        assert isinstance(encoder, ImageEncoder)  # noqa: S101 - for the type checker
        # Channels last is faster for depthwise convolutions on a CPU; run.train lays the weights out so.
        map_nCHW = inputs.image.map_nCHW.contiguous(memory_format=torch.channels_last)
        vectors: Tensor = network.norms["image"](encoder.upper(inputs.image._replace(map_nCHW=map_nCHW)))
        return vectors.float()
    assert inputs.text is not None  # noqa: S101 - callers ask only for what is there
    return network.encode("text", inputs.text).float()


def encode_all(network: Network, source: BatchSource, rows: Rows, inputs: EncoderInputs) -> Tensor:
    """All encoders on a batch → (B, M, D), zeros where a modality is absent."""
    parts = []
    for column, modality in enumerate(source.modalities):
        present_B = source.present_NM[rows, column]
        spread_BD = torch.zeros(len(rows), network.config.width, device=source.device)
        if present_B.any():
            spread_BD = spread_BD.index_put((present_B,), encode(network, modality, inputs))
        parts.append(spread_BD)
    return torch.stack(parts, dim=1)


def subset_mask(present_BM: Tensor, modalities: tuple[str, ...], part: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Rows (B,) that have all modalities of `part`, and the mask (B, M) that leaves only those."""
    wanted_M = torch.tensor([name in part for name in modalities], device=present_BM.device)
    return present_BM[:, wanted_M].all(1), present_BM & wanted_M


def chunks(rows: Rows) -> list[Rows]:
    """Rows in order, as many at a time as are evaluated at once."""
    return [rows[start : start + EVALUATION_BATCH] for start in range(0, len(rows), EVALUATION_BATCH)]
