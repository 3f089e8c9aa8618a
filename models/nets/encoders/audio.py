"""Log-mel features to a vector, and to a token for each frame. One class for each kind of encoder in the config.

# n rows, T features, t frames (T / subsampling), F bands, C channels, W width of a frame, D width"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models import config as configs
from models.nets.encoders import Encoded, Encoder, masked_mean, valid_tokens
from models.nets.encoders.conformer import ConformerLayer, Rotation

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

    def __init__(self, config: configs.AudioEncoder, frame_width: int, token_width: int, width: int) -> None:
        """Build all but what reads the frames: (n, t, `frame_width`) to (n, t, `token_width`)."""
        super().__init__()
        self.token_width = token_width
        self.stem = Stem(config.num_mels, config.channels, config.subsampling, frame_width)
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Sequential(nn.Linear(2 * token_width, width), nn.ReLU(), nn.Dropout(config.dropout))

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """(n, T, F) float32 padded on the right, (n,) int64 lengths → a vector, and a token for each frame."""
        return self.upper(self.lower(features, lengths))

    def lower(self, features: Tensor, lengths: Tensor) -> AudioFeatures:
        """Nothing is frozen."""
        return AudioFeatures(features, lengths)

    def upper(self, lower: AudioFeatures) -> Encoded:
        """Run it all. Frames in the padding are zeros."""
        frames_ntW, lengths_n = self.stem(*lower)
        valid_nt = valid_tokens(frames_ntW[:, :, 0], lengths_n)
        states_ntW = self.read(self.dropout(frames_ntW), lengths_n, valid_nt)
        max_nW = states_ntW.masked_fill(~valid_nt[:, :, None], _LEAST).amax(1)
        vector_nD = self.project(torch.cat([masked_mean(states_ntW, valid_nt), max_nW], dim=1))
        return Encoded(vector_nD, states_ntW, valid_nt)

    def read(self, frames_ntW: Tensor, lengths_n: Tensor, valid_nt: Tensor) -> Tensor:
        """Frames in the light of their neighbours, (n, t, W); zeros in the padding."""
        raise NotImplementedError


class ConvRecurrentAudioEncoder(AudioEncoder):
    """Reads the frames both ways."""

    def __init__(self, config: configs.ConvRecurrentAudioEncoder, width: int) -> None:
        super().__init__(config, config.hidden, 2 * config.hidden, width)
        self.gru = nn.GRU(
            config.hidden,
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
        return states_ntW


class ConformerAudioEncoder(AudioEncoder):
    """Reads the frames by attention and convolution in turn (Gulati et al. 2020)."""

    def __init__(self, config: configs.ConformerAudioEncoder, width: int) -> None:
        super().__init__(config, config.hidden, config.hidden, width)
        self.rotation = Rotation(config.hidden // config.heads)
        self.layers = nn.ModuleList(
            ConformerLayer(config.hidden, config.heads, config.kernel, config.dropout)
            for _ in range(config.layers)
        )

    def read(self, frames_ntW: Tensor, lengths_n: Tensor, valid_nt: Tensor) -> Tensor:  # noqa: ARG002
        """See the interface."""
        turn = self.rotation(valid_nt)
        for layer in self.layers:
            frames_ntW = layer(frames_ntW, valid_nt, turn)
        return frames_ntW.masked_fill(~valid_nt[:, :, None], 0.0)


class Stem(nn.Module):
    """Convolutions over (time, band): each halves the bands, and the first ones halve time.

    A frame is normalised on its own, so that neither neighbours in the batch nor the padding count.
    """

    def __init__(self, num_mels: int, channels: tuple[int, ...], subsampling: int, frame_width: int) -> None:
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        self.halvings = subsampling.bit_length() - 1
        before, bands = 1, num_mels
        for place, after in enumerate(channels):
            bands = (bands + 1) // 2
            stride = (2 if place < self.halvings else 1, 2)
            self.convolutions.append(nn.Conv2d(before, after, 3, stride, padding=1))
            self.norms.append(nn.LayerNorm(after * bands))
            before = after
        self.frame = nn.Linear(before * bands, frame_width)

    def forward(self, features_nTF: Tensor, lengths_n: Tensor) -> tuple[Tensor, Tensor]:
        """(n, T, F), (n,) → frames (n, t, W), and how many each row has, ceil(length / subsampling)."""
        valid_nT = valid_tokens(features_nTF[:, :, 0], lengths_n)
        # Silence is -1. Moved to 0 it is what a convolution takes to stand beyond the end, too.
        current_nCTF = (features_nTF + 1).masked_fill(~valid_nT[:, :, None], 0.0)[:, None]
        frames_nTW = features_nTF
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            current_nCTF = convolution(current_nCTF)
            if place < self.halvings:
                lengths_n = torch.div(lengths_n + 1, 2, rounding_mode="floor")
            count, channels, length, bands = current_nCTF.shape
            flat_nTW = current_nCTF.transpose(1, 2).flatten(2)
            frames_nTW = nn.functional.gelu(norm(flat_nTW))
            valid_nT = valid_tokens(frames_nTW[:, :, 0], lengths_n)
            frames_nTW = frames_nTW.masked_fill(~valid_nT[:, :, None], 0.0)
            current_nCTF = frames_nTW.view(count, length, channels, bands).transpose(1, 2)
        return self.frame(frames_nTW), lengths_n


def build_audio_encoder(config: configs.AudioEncoder, width: int) -> AudioEncoder:
    """The encoder of the config's kind."""
    if isinstance(config, configs.ConformerAudioEncoder):
        return ConformerAudioEncoder(config, width)
    return ConvRecurrentAudioEncoder(config, width)
