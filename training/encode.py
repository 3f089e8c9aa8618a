"""Training inputs through the encoders, and the subsets of the modalities that are shown to the fusion.

# B batch, M modalities, D width, n rows that have a modality"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.nets.encoders import Encoded
from models.nets.fusion import Tokens
from models.nets.network import EncodedBatch, Network
from training.data.batches import BatchSource, EncoderInputs
from training.data.pairs import Rows
from training.optimisation import distributed

EVALUATION_BATCH = 64


def subsets(modalities: Iterable[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset of the modalities, smallest first."""
    names = tuple(modalities)
    return [part for size in range(1, len(names) + 1) for part in combinations(names, size)]


def encode(network: Network, modality: str, inputs: EncoderInputs) -> Encoded:
    """One modality's training inputs through its encoder's upper half, before `Network.normalise`."""
    encoder: Any = network.encoders[modality]
    given = getattr(inputs, modality)
    assert given is not None  # noqa: S101 - callers ask only for what is there
    if modality == "image":
        # Channels last is faster for depthwise convolutions on a CPU; training.setup lays the weights out so.
        given = given._replace(map_nCHW=given.map_nCHW.contiguous(memory_format=torch.channels_last))
    found: Encoded = encoder.upper(given.features if modality == "audio" else given)
    return found


def encode_each(network: Network, source: BatchSource, rows: Rows, inputs: EncoderInputs) -> dict[str, Encoded]:
    """Every encoder on the rows of a batch that have its modality, before `Network.normalise`."""
    present_BM = source.present_NM[rows]
    return {
        modality: encode(network, modality, inputs)
        for place, modality in enumerate(source.modalities)
        if present_BM[:, place].any()
    }


def together(network: Network, encoded: Mapping[str, Encoded], present_BM: Tensor) -> EncodedBatch:
    """What the encoders gave as one batch, ready to be fused."""
    return network.gather({name: network.normalise(name, part) for name, part in encoded.items()}, present_BM)


def encode_all(network: Network, source: BatchSource, rows: Rows, inputs: EncoderInputs) -> EncodedBatch:
    """A batch, ready to be fused."""
    return together(network, encode_each(network, source, rows, inputs), source.present_NM[rows])


def gather_batch(batch: EncodedBatch) -> EncodedBatch:
    """The shares of all processes as one batch, in the order of the global one, with gradient, in fp32."""
    vectors_BMD, tokens = distributed.gather(batch.vectors_BMD.float()), batch.tokens
    if tokens is not None:
        missing = distributed.most(tokens.valid_BS.shape[1]) - tokens.valid_BS.shape[1]
        values_BSD = functional.pad(tokens.values_BSD.float(), (0, 0, 0, missing))
        rest = (functional.pad(part, (0, missing)) for part in (tokens.valid_BS, tokens.owner_BS))
        tokens = Tokens(*(distributed.gather(part) for part in (values_BSD, *rest)))
    return EncodedBatch(vectors_BMD, tokens)


def chunks(rows: Rows) -> list[Rows]:
    """Rows in order, as many at a time as are evaluated at once."""
    return [rows[start : start + EVALUATION_BATCH] for start in range(0, len(rows), EVALUATION_BATCH)]
