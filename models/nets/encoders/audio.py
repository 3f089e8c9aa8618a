"""Log-mel features to a vector, and to a token for each frame. One class for each kind of encoder in the config.

# n rows, T features, t frames (T / subsampling), F bands, C channels,
# W width of a frame, D width"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models import config as configs
from models.nets.encoders import OUTLIER, Encoded, Encoder, Projection, masked_mean, valid_tokens
from models.nets.encoders.conformer import ConformerLayer, Rotation, band
from models.nets.encoders.speech_embedding import WIDTH, SpeechEmbedding, num_frames
from models.preprocess.audio import SILENT

_LEAST = -1e4  # below every state, and within half precision


class AudioFeatures(NamedTuple):
    """What an encoder's lower half gives: log-mel features, or frames of a frozen network; training caches these.

    features_nTF: float32; features are from -1 to 1. What stands in the padding does not count.
    lengths_n: int64, at least 1, without the padding.
    """

    features_nTF: Tensor
    lengths_n: Tensor


class AudioEncoder(Encoder):
    """The interface, and what all kinds share: convolutions before, pooling behind."""

    has_frozen = False
    """Whether `lower` does anything, which is worth being done once."""

    def __init__(self, stem: nn.Module, dropout: float, token_width: int, width: int) -> None:
        """Build all but what reads the frames; `stem`: AudioFeatures to frames (n, t, W) and their number (n,)."""
        super().__init__()
        self.token_width = token_width
        self.stem = stem
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Sequential(nn.Linear(3 * token_width, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """(n, T, F) float32 padded on the right, (n,) int64 lengths → a vector, and a token for each frame."""
        return self.upper(self.lower(features, lengths))

    def lower(self, features: Tensor, lengths: Tensor) -> AudioFeatures:
        """Run the frozen part: nothing, where the kind has none."""
        return AudioFeatures(features, lengths)

    def upper(self, lower: AudioFeatures) -> Encoded:
        """Run the trainable part. Frames in the padding are zeros."""
        frames_ntW, lengths_n = self.stem(*lower)
        frames_ntW = self.dropout(frames_ntW)
        valid_nt = valid_tokens(frames_ntW[:, :, 0], lengths_n)
        states_ntW = self.read(frames_ntW, lengths_n, valid_nt)
        max_nW = states_ntW.masked_fill(~valid_nt[:, :, None], _LEAST).amax(1)
        pooled = [masked_mean(states_ntW, valid_nt), max_nW, masked_mean(frames_ntW, valid_nt)]
        return Encoded(self.project(torch.cat(pooled, dim=1)), states_ntW, valid_nt)

    def read(self, frames_ntW: Tensor, lengths_n: Tensor, valid_nt: Tensor) -> Tensor:
        """Frames in the light of one another, (n, t, W); zeros in the padding."""
        raise NotImplementedError


class RecurrentAudioEncoder(AudioEncoder):
    """Reads the frames both ways (Cho et al. 2014, GRU)."""

    def __init__(
        self,
        config: configs.ConvRecurrentAudioEncoder | configs.SpeechEmbeddingAudioEncoder,
        stem: nn.Module,
        width: int,
    ) -> None:
        super().__init__(stem, config.dropout, 2 * config.hidden, width)
        self.gru = None
        if config.layers:
            self.gru = nn.GRU(
                2 * config.hidden,
                config.hidden,
                config.layers,
                batch_first=True,
                bidirectional=True,
                dropout=config.dropout if config.layers > 1 else 0.0,
            )

    def read(self, frames_ntW: Tensor, lengths_n: Tensor, valid_nt: Tensor) -> Tensor:
        """See the interface. Lengths go into the recurrence, as `RecurrentTextEncoder.upper` has it."""
        if self.gru is None:
            return frames_ntW
        packed = pack_padded_sequence(frames_ntW, lengths_n.cpu(), batch_first=True, enforce_sorted=False)
        states_ntW, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=valid_nt.shape[1])
        dropped_ntW: Tensor = self.dropout(states_ntW)
        return dropped_ntW


class ConvRecurrentAudioEncoder(RecurrentAudioEncoder):
    """Convolutions, then a recurrent network, all of it trained."""

    def __init__(self, config: configs.ConvRecurrentAudioEncoder, width: int) -> None:
        stem = Stem(config.num_mels, config.channels, config.subsampling, 2 * config.hidden)
        super().__init__(config, stem, width)


class SpeechEmbeddingAudioEncoder(RecurrentAudioEncoder):
    """Google's speech embedding, which stays as it came, pooled to a vector, and read frame by frame.

    No recurrent network stands before the vector: from few voices it learns the voices.
    """

    has_frozen = True
    frame_mean: Tensor
    frame_std: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: configs.SpeechEmbeddingAudioEncoder, width: int) -> None:
        stem = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(WIDTH, 2 * config.hidden), nn.ReLU())
        super().__init__(config, stem, width)
        self.embedding = SpeechEmbedding()
        self.project = Projection(3 * WIDTH, 2 * config.hidden, width, config.dropout)
        # Channels differ in mean and scale, and so does what they are pooled to; see standardise().
        for name, size in (("frame", WIDTH), ("feature", 3 * WIDTH)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))

    def lower(self, features: Tensor, lengths: Tensor) -> AudioFeatures:
        """Run the pretrained network; see the interface."""
        silenced_nTF = blanked(features[:, None], lengths, SILENT)[:, 0]
        return AudioFeatures(self.embedding(silenced_nTF), num_frames(lengths))

    def upper(self, lower: AudioFeatures) -> Encoded:
        """See the interface."""
        features_nF, valid_nt = self._pooled(lower)
        features_nF = ((features_nF - self.feature_mean) / self.feature_std).clamp(-OUTLIER, OUTLIER)
        given_ntW = ((lower.features_nTF - self.frame_mean) / self.frame_std).clamp(-OUTLIER, OUTLIER)
        frames_ntW = self.dropout(self.stem(given_ntW.masked_fill(~valid_nt[:, :, None], 0.0)))
        frames_ntW = self.read(frames_ntW, lower.lengths_n, valid_nt)
        return Encoded(self.project(features_nF), frames_ntW.masked_fill(~valid_nt[:, :, None], 0.0), valid_nt)

    @torch.no_grad()
    def standardise(self, lowers: Iterable[AudioFeatures]) -> None:
        """Measure the mean and deviation of every channel, and of what it is pooled to, on some training rows."""
        frames, features = [], []
        for lower in lowers:
            frames += [own_tW[:length] for own_tW, length in zip(*lower, strict=True)]
            features.append(self._pooled(lower)[0])
        for name, values_NF in (("frame", torch.cat(frames)), ("feature", torch.cat(features))):
            getattr(self, f"{name}_mean").copy_(values_NF.mean(0))
            # What hardly varies is not blown up.
            getattr(self, f"{name}_std").copy_(values_NF.std(0, correction=0) + 1e-2)

    def _pooled(self, lower: AudioFeatures) -> tuple[Tensor, Tensor]:
        """Mean, most and least of each channel over a recording's frames (n, F); which are its own (n, t)."""
        given_ntW, lengths_n = lower
        valid_nt = valid_tokens(given_ntW[:, :, 0], lengths_n)
        padding_nt1 = ~valid_nt[:, :, None]
        most_nW = given_ntW.masked_fill(padding_nt1, _LEAST).amax(1)
        least_nW = given_ntW.masked_fill(padding_nt1, -_LEAST).amin(1)
        mean_nW = masked_mean(given_ntW.masked_fill(padding_nt1, 0.0), valid_nt)
        return torch.cat([mean_nW, most_nW, least_nW], dim=1), valid_nt

    def fresh(self) -> list[nn.Parameter]:
        """All but the pretrained network, which no stage changes."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


class ConformerAudioEncoder(AudioEncoder):
    """Reads the frames by attention and convolution in turn (Gulati et al. 2020)."""

    def __init__(self, config: configs.ConformerAudioEncoder, width: int) -> None:
        stem = Stem(config.num_mels, config.channels, config.subsampling, config.hidden)
        super().__init__(stem, config.dropout, config.hidden, width)
        self.reach = config.reach
        self.rotation = Rotation(config.hidden // config.heads)
        self.layers = nn.ModuleList(
            ConformerLayer(config.hidden, config.heads, config.kernel, config.dropout)
            for _ in range(config.layers)
        )

    def read(self, frames_ntW: Tensor, lengths_n: Tensor, valid_nt: Tensor) -> Tensor:  # noqa: ARG002
        """See the interface."""
        turn, seen_nbqk = self.rotation(valid_nt), band(valid_nt, self.reach)
        for layer in self.layers:
            frames_ntW = layer(frames_ntW, valid_nt, turn, seen_nbqk)
        return frames_ntW.masked_fill(~valid_nt[:, :, None], 0.0)


class Stem(nn.Module):
    """Convolutions over (time, band): each halves the bands, and the first ones halve time.

    Each cell is normalised over its own channels: statistics over time would look into the padding, and those of a
    batch at its neighbours.
    """

    def __init__(self, num_mels: int, channels: tuple[int, ...], subsampling: int, frame_width: int) -> None:
        super().__init__()
        self.halvings = subsampling.bit_length() - 1
        sizes = (1, *channels)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, (2 if place < self.halvings else 1, 2), padding=1)
            for place, (before, after) in enumerate(pairwise(sizes))
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in channels)
        num_bands = math.ceil(num_mels / 2 ** len(channels))
        self.project = nn.Linear(channels[-1] * num_bands, frame_width)
        self.norm = nn.LayerNorm(frame_width)

    def forward(self, features_nTF: Tensor, lengths_n: Tensor) -> tuple[Tensor, Tensor]:
        """(n, T, F), (n,) → frames (n, t, W), zeros in the padding, and (n,) ceil(length / subsampling)."""
        current_nCTF = blanked(features_nTF[:, None], lengths_n)
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if place < self.halvings:
                lengths_n = torch.div(lengths_n + 1, 2, rounding_mode="floor")
            cells_nTFC = norm(convolution(current_nCTF).permute(0, 2, 3, 1))
            current_nCTF = blanked(cells_nTFC.permute(0, 3, 1, 2).relu(), lengths_n)
        frames_ntW = self.norm(self.project(current_nCTF.transpose(1, 2).flatten(2)))
        return blanked(frames_ntW[:, None], lengths_n)[:, 0], lengths_n


def blanked(cells_nCTF: Tensor, lengths_n: Tensor, value: float = 0.0) -> Tensor:
    """(n, C, T, F) with `value` behind each recording's end, whatever stood there, NaN too."""
    valid_nT = valid_tokens(cells_nCTF[:, 0, :, 0], lengths_n)
    return cells_nCTF.masked_fill(~valid_nT[:, None, :, None], value)


def build_audio_encoder(config: configs.AudioEncoder, width: int) -> AudioEncoder:
    """The encoder of the config's kind."""
    if isinstance(config, configs.ConformerAudioEncoder):
        return ConformerAudioEncoder(config, width)
    if isinstance(config, configs.SpeechEmbeddingAudioEncoder):
        return SpeechEmbeddingAudioEncoder(config, width)
    return ConvRecurrentAudioEncoder(config, width)
