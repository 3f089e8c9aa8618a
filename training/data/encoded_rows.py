"""What frozen encoders gave for many rows, kept on disk, so that more rows than fit into memory can be fused.

# N rows, M modalities, n rows that have one, T tokens, D width, W width of a modality's tokens"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from models.nets.encoders import Encoded
from training.data.pairs import Rows
from training.data.row_file import RowFile

CPU = torch.device("cpu")


class EncodedRows:
    """Grows by batches, in order; then is read by row. Its files have no name and end with it."""

    def __init__(self, *, with_tokens: bool, folder: Path | None = None) -> None:
        """Prepare, empty; files go into `folder`, or to where the system keeps temporary ones."""
        self._with_tokens, self._folder = with_tokens, folder
        self._vectors: dict[str, _Ragged] = {}
        self._tokens: dict[str, _Ragged] = {}
        self._length = 0

    def append(self, encoded: Mapping[str, Encoded], present_BM: Tensor, modalities: tuple[str, ...]) -> None:
        """Add the next rows: for each modality what its encoder gave for the rows that have it."""
        for place, modality in enumerate(modalities):
            found = encoded.get(modality)
            if found is None:
                continue
            rows = (self._length + present_BM[:, place].nonzero()[:, 0]).tolist()
            vectors = self._vectors.setdefault(
                modality, _Ragged(found.vector_nD.shape[1], np.float32, self._folder)
            )
            vectors.append(rows, [vector_D[None] for vector_D in found.vector_nD.cpu().numpy()])
            if self._with_tokens and found.tokens_nTW is not None and found.valid_nT is not None:
                tokens = self._tokens.setdefault(
                    modality, _Ragged(found.tokens_nTW.shape[2], np.float16, self._folder)
                )
                values_nTW, valid_nT = found.tokens_nTW.cpu().numpy(), found.valid_nT.cpu().numpy()
                tokens.append(rows, [own[valid] for own, valid in zip(values_nTW, valid_nT, strict=True)])
        self._length += len(present_BM)

    def take(self, rows: Rows, device: torch.device = CPU) -> dict[str, Encoded]:
        """These rows, in this order, on a device; for each modality, those that have it."""
        taken = {}
        for modality, vectors in self._vectors.items():
            own = [row for row in rows if row in vectors]
            if own:
                vectors_n1D, _ = vectors.take(own)
                parts = self._tokens[modality].take(own) if modality in self._tokens else ()
                taken[modality] = Encoded(*(part.to(device) for part in (vectors_n1D[:, 0], *parts)))
        return taken


class _Ragged:
    """Rows of one or several vectors each, one row after the other in a file."""

    def __init__(self, width: int, kind: DTypeLike, folder: Path | None) -> None:
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - lives as long as this
        self._file = RowFile(file, kind, (width,))
        self._spans: dict[int, tuple[int, int]] = {}
        self._end = 0

    def __contains__(self, row: object) -> bool:
        return row in self._spans

    def append(self, rows: Iterable[int], values: Sequence[NDArray[np.float32]]) -> None:
        """The (T, W) of each of these rows."""
        self._file.write(self._end, np.concatenate(values))
        for row, own_TW in zip(rows, values, strict=True):
            self._spans[row] = (self._end, self._end + len(own_TW))
            self._end += len(own_TW)

    def take(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(n, T, W) float32, padded with zeros, and which of them are there (n, T)."""
        values_nTW, lengths_n = self._file.take_spans(self._spans[row] for row in rows)
        valid_nT = np.arange(values_nTW.shape[1]) < lengths_n[:, None]
        # Made float32 by torch: numpy takes three times as long to widen halves.
        return torch.from_numpy(values_nTW).float(), torch.from_numpy(valid_nT)
