"""Recordings of a training batch: decoded by the trunk, joined and changed at random, prepared by the trunk.

Nothing is kept: decoding is a small part of a step, and so data may be larger than memory.

# N rows of the manifest, n recordings, T features, F bands, L tokens"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.config import WORD_START, AudioPreprocessing
from models.decode_audio import decode_audio
from models.nets.encoders.audio import AudioFeatures
from models.preprocess.audio import AudioPreprocessor
from models.sample import Sample
from models.spoken_text import encode_transcript
from training.augmentation import Augmentation
from training.data.augment_audio import augment_features, augment_samples, join
from training.data.pairs import RECORDING_LIMITS, Pairs, Rows

Floats = NDArray[np.float32]


class Spoken(NamedTuple):
    """What is said in n recordings.

    tokens_nL: int64, padded with 0.
    lengths_n: int64, tokens of each.
    known_n: bool, whether there is a transcript.
    """

    tokens_nL: Tensor
    lengths_n: Tensor
    known_n: Tensor


class AudioInputs(NamedTuple):
    """Features of n recordings, what is said in them, and whether each is one row's recording and no more."""

    features: AudioFeatures
    spoken: Spoken
    alone_n: Tensor

    def to(self, device: torch.device) -> "AudioInputs":
        """The same on a device."""
        features = AudioFeatures(*(part.to(device) for part in self.features))
        return AudioInputs(features, Spoken(*(part.to(device) for part in self.spoken)), self.alone_n.to(device))


class Recordings:
    """The recordings of a manifest's rows."""

    def __init__(self, pairs: Pairs, config: AudioPreprocessing, tokens: Sequence[str] = ()) -> None:
        """Prepare; `tokens` are those of the transcript head, if there is one."""
        self._pairs = pairs
        self._config = config
        self._preprocessor = AudioPreprocessor(config)
        # Of training rows: others are only read, and may say what no token spells.
        self._tokens: dict[int, list[int]] = {
            int(row): encode_transcript(text, tokens)
            for row in pairs.rows("train")
            if tokens and (text := pairs.records[row].transcript) is not None
        }
        self._others: dict[str | None, list[int]] = {}
        for row in self._tokens:
            if pairs.recording_of_N[row] >= 0:
                self._others.setdefault(pairs.records[row].speaker, []).append(row)
        self._between = [tokens.index(WORD_START)] if WORD_START in tokens else []

    def plain(self, rows: Rows) -> AudioInputs:
        """Nothing random."""
        features = [self._features(self._samples(row)) for row in rows]
        return self._inputs(features, [self._tokens.get(int(row)) for row in rows], [True] * len(rows))

    def augmented(
        self, rows: Rows, config: Augmentation, rng: np.random.Generator, *, joined: bool
    ) -> AudioInputs:
        """Each changed at random; if `joined`, some batches go on with others of each one's speaker.

        As many for all of a batch: recordings of one length waste little on padding.
        """
        features, tokens, alone = [], [], []
        joins = joined and rng.random() < config.audio_join
        num_more = int(rng.integers(1, config.audio_join_most)) if joins else 0
        for row in rows:
            chain = self._chain(int(row), num_more, rng)
            parts = [self._samples(one) for one in chain]
            rate_hz = self._config.rate_hz
            samples_S = augment_samples(join(parts, config, rate_hz, rng), config, rate_hz, rng)
            features.append(augment_features(self._features(samples_S), config, rng))
            tokens.append(self._said(chain))
            alone.append(len(chain) == 1)
        return self._inputs(features, tokens, alone)

    def _chain(self, row: int, num_more: int, rng: np.random.Generator) -> list[int]:
        """The row, and so many others of its speaker that say something; none where nothing is known."""
        others = self._others.get(self._pairs.records[row].speaker, [])
        if row not in self._tokens or not others:
            return [row]
        return [row, *(others[place] for place in rng.integers(0, len(others), num_more))]

    def _said(self, chain: Sequence[int]) -> list[int] | None:
        found = [self._tokens[row] for row in chain if row in self._tokens]
        if not found:
            return None
        said = list(found[0])
        for more in found[1:]:
            said += [*self._between, *more] if said and more else more
        return said

    def _samples(self, row: int) -> Floats:
        path = self._pairs.recordings[self._pairs.recording_of_N[row]]
        return decode_audio(path.read_bytes(), rate_hz=self._config.rate_hz, limits=RECORDING_LIMITS)

    def _features(self, samples_S: Floats) -> Floats:
        arrays = self._preprocessor.prepare(Sample(audio=samples_S))
        assert arrays is not None  # noqa: S101 - the sample has a recording
        return arrays["features"].astype(np.float32, copy=False)

    def _inputs(
        self, features: Sequence[Floats], tokens: Sequence[list[int] | None], alone: Sequence[bool]
    ) -> AudioInputs:
        arrays = self._preprocessor.collate([{"features": own_TF} for own_TF in features])
        lengths = [len(own or ()) for own in tokens]
        tokens_nL = np.zeros((len(tokens), max(lengths, default=0)), dtype=np.int64)
        for place, own in enumerate(tokens):
            tokens_nL[place, : lengths[place]] = own or ()
        return AudioInputs(
            AudioFeatures(torch.from_numpy(arrays["features"]), torch.from_numpy(arrays["lengths"])),
            Spoken(
                torch.from_numpy(tokens_nL),
                torch.tensor(lengths, dtype=torch.int64),
                torch.tensor([own is not None for own in tokens], dtype=torch.bool),
            ),
            torch.tensor(alone, dtype=torch.bool),
        )
