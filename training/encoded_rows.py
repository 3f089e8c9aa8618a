"""What frozen encoders gave for many rows, kept on disk, so that more rows than fit into memory can be fused.

# N rows, M modalities, D width, B rows taken, T tokens of one modality"""

import tempfile
import weakref

import numpy as np
import torch
from numpy.typing import NDArray

from models.nets.fusion import Tokens
from models.nets.network import EncodedBatch, join_tokens
from training.data import Rows


class EncodedRows:
    """Grows by batches, in order; then is read by row. Its files have no name and end with it."""

    def __init__(self, num_modalities: int, width: int) -> None:
        self._num_modalities, self._width = num_modalities, width
        self._vectors = _Ragged(width)
        self._tokens: list[_Ragged] = []

    def append(self, encoded: EncodedBatch) -> None:
        """Add the next rows."""
        for vectors_MD in encoded.vectors_BMD.numpy():
            self._vectors.append(vectors_MD)
        if encoded.tokens is None:
            return
        values_BSD, valid_BS, owner_S = (part.numpy() for part in encoded.tokens)
        self._tokens = self._tokens or [_Ragged(self._width) for _ in range(self._num_modalities)]
        for place, part in enumerate(self._tokens):
            for values_SD, valid_S in zip(values_BSD, valid_BS, strict=True):
                part.append(values_SD[valid_S & (owner_S == place)])

    def take(self, rows: Rows) -> EncodedBatch:
        """These rows, in this order."""
        vectors_BMD, _ = self._vectors.take(rows)
        parts = []
        for place, ragged in enumerate(self._tokens):
            values_BTD, valid_BT = ragged.take(rows)
            owner_T = torch.full((valid_BT.shape[1],), place)
            parts.append(Tokens(torch.from_numpy(values_BTD), torch.from_numpy(valid_BT), owner_T))
        return EncodedBatch(torch.from_numpy(vectors_BMD), join_tokens(parts))


class _Ragged:
    """Rows of several vectors each, one after the other in a file."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        weakref.finalize(self, self._file.close)
        self._ends = [0]
        self._whole: NDArray[np.float32] | None = None

    def append(self, values_TD: NDArray[np.float32]) -> None:
        self._file.write(np.ascontiguousarray(values_TD, dtype=np.float32).tobytes())
        self._ends.append(self._ends[-1] + len(values_TD))

    def take(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(B, T, D), padded with zeros, and which of them are there (B, T)."""
        if self._whole is None:
            self._file.flush()
            shape = (self._ends[-1], self._width)
            self._whole = (
                np.memmap(self._file, np.float32, "r", shape=shape) if shape[0] else np.zeros(shape, "f4")
            )
        spans = [(self._ends[row], self._ends[row + 1]) for row in rows]
        # One place at least: an empty axis is for no layer.
        length = max([1, *(end - start for start, end in spans)])
        values_BTD = np.zeros((len(rows), length, self._width), dtype=np.float32)
        valid_BT = np.zeros((len(rows), length), dtype=bool)
        for place, (start, end) in enumerate(spans):
            values_BTD[place, : end - start] = self._whole[start:end]
            valid_BT[place, : end - start] = True
        return values_BTD, valid_BT
