"""What computes: from a Batch to raw arrays. The interface that every engine keeps.

# B batch, M modalities, D width, C classes, E embedding dimensions"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """A forward pass, as raw arrays.

    logits: head → (B, C) float32.
    embedding_BE: float32, unit norm.
    """

    logits: dict[str, Floats]
    embedding_BE: Floats


class Engine(Protocol):
    """A network ready to run. Both calls may be made from several threads at once."""

    name: str
    """`onnx` or `torch`, for people."""

    device: str
    """`cpu`, or the accelerator's name, for people."""

    def encode(self, batch: Batch) -> Floats:
        """(B, M, D) float32; each encoder runs only on the rows that have its modality, the rest is zero."""

    def fuse(self, vectors_BMD: Floats, present_BM: NDArray[np.bool_]) -> Output:
        """Fuse the vectors that are present and run every head. Each row needs at least one."""


def scatter(batch: Batch, vectors: dict[str, Floats], width: int) -> Floats:
    """Spread each modality's rows (n, D) over (B, M, D), zeros where absent."""
    vectors_BMD = np.zeros((len(batch), len(batch.modalities), width), dtype=np.float32)
    for column, modality in enumerate(batch.modalities):
        if modality in vectors:
            vectors_BMD[batch.rows(modality), column] = vectors[modality]
    return vectors_BMD
