"""Frozen text states on disk: the output of a text encoder's lower half for every caption, computed once.

As for images in `training.data.image_cache`: in files, so that data larger than memory streams, and keyed by all
that changes them.

# n captions, T tokens, W width of a state, P pooled features"""

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.nets.encoders.text import TextLower, TransformerTextEncoder
from models.preprocess.text import pad_ids
from training.data.row_file import RowFile

BATCH = 64

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class StateCache:
    """States of all captions, one after the other.

    states: (W,) float16, a row for each subword.
    pooled: (P,) float32, what the frozen layers are pooled to, a row for each of the K captions.
    starts: by row of the manifest, where each of its captions begins, and where the last ends.
    first: by row of the manifest, the place of its first caption in K.
    """

    states: RowFile
    pooled: RowFile
    starts: Sequence[Sequence[int]]
    first: Sequence[int]

    def load(self, chosen: Sequence[tuple[int, int]]) -> TextLower:
        """The captions of these (row, which of its captions), padded with zeros on the right."""
        states_nTW, lengths_n = self.states.take_spans(
            (self.starts[row][caption], self.starts[row][caption + 1]) for row, caption in chosen
        )
        pooled_nP = self.pooled.take(self.first[row] + caption for row, caption in chosen)
        # Made float32 by torch: numpy takes three times as long to widen halves.
        return TextLower(
            torch.from_numpy(states_nTW).float(), torch.from_numpy(lengths_n), torch.from_numpy(pooled_nP)
        )


def open_state_cache(
    folder: Path,
    encoder: TransformerTextEncoder,
    captions: Sequence[Sequence[Ids]],
    advance: Callable[[int], None],
) -> StateCache:
    """Open the cache for these captions and this encoder's frozen layers, computing what is not there.

    Args:
        folder: where caches are kept.
        encoder: in evaluation mode; its frozen lower half is what is cached.
        captions: token ids of every caption of every row.
        advance: progress, in captions.
    """
    starts, position = [], 0
    for row in captions:
        own = [position]
        for ids in row:
            position += len(ids)
            own.append(position)
        starts.append(own)
    first = list(itertools.accumulate(map(len, captions), initial=0))
    path = folder / _digest(encoder, captions)
    path.mkdir(parents=True, exist_ok=True)
    done_file, flat = path / "progress.json", [ids for row in captions for ids in row]
    done = int(json.loads(done_file.read_text())["captions"]) if done_file.exists() else 0
    width = encoder.norm.normalized_shape[0]
    states = RowFile.open(path / "states", np.float16, (width,), keep=bool(done))
    pooled = RowFile.open(path / "pooled", np.float32, (encoder.lower_width,), keep=bool(done))
    advance(done)
    at = sum(len(ids) for ids in flat[:done])
    for start in range(done, len(flat), BATCH):
        part = flat[start : start + BATCH]
        arrays = {name: torch.from_numpy(value) for name, value in pad_ids(part).items()}
        with torch.inference_mode():
            lower = encoder.lower(**arrays)
        pooled.write(start, lower.pooled_nP.numpy())
        for ids, own_TW in zip(part, lower.states_nTW.numpy(), strict=True):
            states.write(at, own_TW[: len(ids)])
            at += len(ids)
        if start % (BATCH * 16) == 0 or start + BATCH >= len(flat):
            states.sync()
            pooled.sync()
            partial = done_file.with_suffix(".partial")
            partial.write_text(json.dumps({"captions": start + len(part)}))
            partial.replace(done_file)
        advance(len(part))
    return StateCache(states, pooled, starts, first)


def _digest(encoder: TransformerTextEncoder, captions: Sequence[Sequence[Ids]]) -> str:
    digest = hashlib.sha256(f"text:{encoder.frozen_layers}:{encoder.lower_width}".encode())
    parts: list[nn.Module] = [encoder.embedding, encoder.positions, encoder.norm]
    parts += encoder.layers[: encoder.frozen_layers]
    for part in parts:
        for value in part.state_dict().values():
            digest.update(value.numpy().tobytes())
    for row in captions:
        digest.update(f"/{len(row)}".encode())
        for ids in row:
            digest.update(ids.tobytes())
    return digest.hexdigest()[:16]
