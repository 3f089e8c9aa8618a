"""Recordings of a training batch: decoded by the trunk, joined and changed at random, prepared by the trunk.

Nothing is kept, for decoding is a small part of a step; but the frames of an encoder's frozen part are
(`training.data.frame_store`). Either way data may be larger than memory.

# N rows of the manifest, n recordings, T features, F bands, L tokens"""

import hashlib
import json
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
from training.data.frame_store import FrameStore
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

    def __init__(
        self,
        pairs: Pairs,
        config: AudioPreprocessing,
        tokens: Sequence[str] = (),
        frames: FrameStore | None = None,
    ) -> None:
        """Prepare; `tokens` are those of the transcript head, `frames` of the frozen part, if there is one."""
        self._pairs = pairs
        self._frames = frames
        self._digests: dict[int, str] = {}
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
        chains = [[int(row)] for row in rows]
        if self._frames is None:
            lower = self._collated([self._features(self._samples(row)) for row in rows])
        else:
            keys = [self._key(chain, "plain") for chain in chains]
            lower = self._frames.take(keys, lambda place: self._features(self._samples(rows[place])))
        return self._inputs(lower, [self._tokens.get(int(row)) for row in rows], [True] * len(rows))

    def augmented(
        self, rows: Rows, config: Augmentation, rng: np.random.Generator, *, joined: bool
    ) -> AudioInputs:
        """Each changed at random; if `joined`, some batches go on with others of each one's speaker.

        As many for all of a batch: recordings of one length waste little on padding. Where frames are kept, one of
        `audio_variants` draws.
        """
        variant = None
        if self._frames is not None and config.audio_variants:
            variant = int(rng.integers(config.audio_variants))
            rng = np.random.default_rng(variant)
        joins = joined and rng.random() < config.audio_join
        num_more = int(rng.integers(1, config.audio_join_most)) if joins else 0
        drawn = [rng if variant is None else self._own_rng(int(row), variant) for row in rows]
        chains = [self._chain(int(row), num_more, own) for row, own in zip(rows, drawn, strict=True)]

        def changed(place: int) -> Floats:
            parts = [self._samples(one) for one in chains[place]]
            own, rate_hz = drawn[place], self._config.rate_hz
            samples_S = augment_samples(join(parts, config, rate_hz, own), config, rate_hz, own)
            return augment_features(self._features(samples_S), config, own)

        if self._frames is None:
            lower = self._collated([changed(place) for place in range(len(rows))])
        elif variant is None:
            lower = self._frames.compute([changed(place) for place in range(len(rows))])
        else:
            settings = _audio_settings(config)
            lower = self._frames.take([self._key(chain, f"{variant}{settings}") for chain in chains], changed)
        return self._inputs(lower, [self._said(chain) for chain in chains], [len(chain) == 1 for chain in chains])

    def _own_rng(self, row: int, variant: int) -> np.random.Generator:
        """The same for a recording in every training, whatever else is in it."""
        return np.random.default_rng([variant, int(self._digest(row), 16)])

    def _key(self, chain: Sequence[int], how: str) -> str:
        """All that decides the features of these recordings, one after the other, changed so."""
        whole = ":".join([how, *(self._digest(row) for row in chain)])
        return hashlib.sha256(whole.encode()).hexdigest()[:32]

    def _digest(self, row: int) -> str:
        number = int(self._pairs.recording_of_N[row])
        if number not in self._digests:
            self._digests[number] = hashlib.sha256(self._pairs.recordings[number].read_bytes()).hexdigest()
        return self._digests[number]

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

    def _collated(self, features: Sequence[Floats]) -> AudioFeatures:
        arrays = self._preprocessor.collate([{"features": own_TF} for own_TF in features])
        return AudioFeatures(torch.from_numpy(arrays["features"]), torch.from_numpy(arrays["lengths"]))

    def _inputs(
        self, lower: AudioFeatures, tokens: Sequence[list[int] | None], alone: Sequence[bool]
    ) -> AudioInputs:
        lengths = [len(own or ()) for own in tokens]
        tokens_nL = np.zeros((len(tokens), max(lengths, default=0)), dtype=np.int64)
        for place, own in enumerate(tokens):
            tokens_nL[place, : lengths[place]] = own or ()
        return AudioInputs(
            lower,
            Spoken(
                torch.from_numpy(tokens_nL),
                torch.tensor(lengths, dtype=torch.int64),
                torch.tensor([own is not None for own in tokens], dtype=torch.bool),
            ),
            torch.tensor(alone, dtype=torch.bool),
        )


def _audio_settings(config: Augmentation) -> str:
    """What decides how a recording is changed; how many changes are kept does not."""
    found = {name: value for name, value in config.model_dump(mode="json").items() if name.startswith("audio_")}
    del found["audio_variants"]
    return json.dumps(found)
