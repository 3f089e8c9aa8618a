"""Log-mel features to a vector, and to a token for each frame. One class for each kind of encoder in the config.

# n rows, T features, t frames (T / subsampling), F bands, C channels,
# W width of a frame, D width"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models import config as configs
from models.nets.encoders import Encoded, Encoder, masked_mean, valid_tokens
from models.nets.encoders.conformer import ConformerLayer, Rotation, band

_LEAST = -1e4  # below every state, and within half precision


class AudioFeatures(NamedTuple):
    """What an encoder of recordings takes; nothing of it is frozen, so nothing of it is cached.

    features_nTF: float32, -1 to 1; what stands in the padding does not count.
    lengths_n: int64, at least 1, without the padding.
    """

    features_nTF: Tensor
    lengths_n: Tensor


class AudioEncoder(Encoder):
    """The interface, and what all kinds share: convolutions before, pooling behind."""

    def __init__(self, config: configs.AudioEncoder, token_width: int, width: int) -> None:
        """Build all but what reads the frames."""
        super().__init__()
        self.token_width = token_width
        self.stem = Stem(config.num_mels, config.channels, config.subsampling, token_width)
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Sequential(nn.Linear(3 * token_width, width), nn.ReLU(), nn.Dropout(config.dropout))

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """(n, T, F) float32 padded on the right, (n,) int64 lengths → a vector, and a token for each frame."""
        return self.upper(self.lower(features, lengths))

    def lower(self, features: Tensor, lengths: Tensor) -> AudioFeatures:
        """Nothing is frozen."""
        return AudioFeatures(features, lengths)

    def upper(self, lower: AudioFeatures) -> Encoded:
        """Run it all. Frames in the padding are zeros."""
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


class ConvRecurrentAudioEncoder(AudioEncoder):
    """Reads the frames both ways (Cho et al. 2014, GRU)."""

    def __init__(self, config: configs.ConvRecurrentAudioEncoder, width: int) -> None:
        super().__init__(config, 2 * config.hidden, width)
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
        packed = pack_padded_sequence(frames_ntW, lengths_n.cpu(), batch_first=True, enforce_sorted=False)
        states_ntW, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=valid_nt.shape[1])
        dropped_ntW: Tensor = self.dropout(states_ntW)
        return dropped_ntW


class ConformerAudioEncoder(AudioEncoder):
    """Reads the frames by attention and convolution in turn (Gulati et al. 2020)."""

    def __init__(self, config: configs.ConformerAudioEncoder, width: int) -> None:
        super().__init__(config, config.hidden, width)
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


def blanked(cells_nCTF: Tensor, lengths_n: Tensor) -> Tensor:
    """(n, C, T, F) with zeros behind each recording's end, whatever stood there, NaN too."""
    valid_nT = valid_tokens(cells_nCTF[:, 0, :, 0], lengths_n)
    return cells_nCTF.masked_fill(~valid_nT[:, None, :, None], 0.0)


def build_audio_encoder(config: configs.AudioEncoder, width: int) -> AudioEncoder:
    """The encoder of the config's kind."""
    if isinstance(config, configs.ConformerAudioEncoder):
        return ConformerAudioEncoder(config, width)
    return ConvRecurrentAudioEncoder(config, width)
