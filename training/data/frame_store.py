"""Frames of a frozen audio encoder on disk: computed when first asked for, and found by what they were made of.

So folds and later trainings that share recordings share their frames. Keyed by the frozen weights and the
preprocessing too; each process of a training has files of its own.

# n recordings, T features, t frames, F bands, W width of a frame"""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.config import AudioPreprocessing
from models.nets.encoders.audio import AudioEncoder, AudioFeatures
from models.preprocess.audio import AudioPreprocessor
from training.data.row_file import RowFile

Floats = NDArray[np.float32]


class FrameStore:
    """Grows as frames are asked for. Several threads may ask at once."""

    def __init__(self, folder: Path, encoder: AudioEncoder, config: AudioPreprocessing, process: int = 0) -> None:
        """Open what `folder` has of this encoder's frozen part on these features; `process`: whose files."""
        self._encoder = encoder
        self._preprocessor = AudioPreprocessor(config)
        own = folder / f"frames-{_digest(encoder, config)}-{process}"
        own.mkdir(parents=True, exist_ok=True)
        self._index = own / "index.jsonl"
        self._spans: dict[str, tuple[int, int]] = {}
        for line in self._index.read_text().splitlines() if self._index.exists() else ():
            try:
                key, start, end = json.loads(line)
            except ValueError:
                continue  # half a line, of a training that was broken off
            self._spans[key] = start, end
        self._end = max((end for _, end in self._spans.values()), default=0)
        width = encoder.lower(torch.zeros(1, 1, config.num_mels), torch.ones(1, dtype=torch.int64))[0].shape[2]
        self._file = RowFile.open(own / "frames", np.float16, (width,), keep=bool(self._spans))
        self._lock = threading.Lock()

    def take(self, keys: Sequence[str], features_of: Callable[[int], Floats]) -> AudioFeatures:
        """The frames of each key, which says all that the features (T, F) of its place depend on."""
        with self._lock:
            missing = {key: place for place, key in enumerate(keys) if key not in self._spans}
            if missing:
                self._add(list(missing), self.compute([features_of(place) for place in missing.values()]))
            frames_ntW, lengths_n = self._file.take_spans(self._spans[key] for key in keys)
        # Made float32 by torch: numpy takes three times as long to widen halves.
        return AudioFeatures(torch.from_numpy(frames_ntW).float(), torch.from_numpy(lengths_n))

    @torch.no_grad()
    def compute(self, features: Sequence[Floats]) -> AudioFeatures:
        """What the frozen part makes of each (T, F), kept nowhere."""
        arrays = self._preprocessor.collate([{"features": own_TF} for own_TF in features])
        device = next(self._encoder.parameters()).device
        lower = self._encoder.lower(*(torch.from_numpy(arrays[key]).to(device) for key in ("features", "lengths")))
        return AudioFeatures(*(part.cpu() for part in lower))

    def _add(self, keys: Sequence[str], frames: AudioFeatures) -> None:
        lines = []
        for key, own_tW, length in zip(keys, frames.features_nTF.numpy(), frames.lengths_n.tolist(), strict=True):
            self._file.write(self._end, own_tW[:length])
            self._spans[key] = self._end, self._end + length
            lines.append(json.dumps([key, *self._spans[key]]) + "\n")
            self._end += length
        # After the frames: what the index names is there.
        with self._index.open("a") as file:
            file.writelines(lines)


def _digest(encoder: AudioEncoder, config: AudioPreprocessing) -> str:
    digest = hashlib.sha256(config.model_dump_json().encode())
    for name, parameter in encoder.named_parameters():
        if not parameter.requires_grad:
            digest.update(name.encode() + parameter.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
