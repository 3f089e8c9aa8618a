"""Log-mel features to a vector, and to a token for each frame. One class for each kind of encoder in the config.

What lies behind a recording's end is blanked before every layer that looks sideways, so that its company in a
batch changes nothing.

# n recordings, T features and then frames, F bands, C channels, W width of a frame, H hidden, D width"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models import config as configs
from models.nets.encoders import Encoded, masked_mean, valid_tokens


class AudioFeatures(NamedTuple):
    """Features (n, T, F) float32, and how many count of each recording (n,) int64, at least 1."""

    features_nTF: Tensor
    lengths_n: Tensor


class AudioEncoder(nn.Module):
    """The interface, and what all kinds share: convolutions that thin out time, and the pooling of frames."""

    token_width: int

    def __init__(self, config: configs.AudioEncoder, token_width: int, width: int) -> None:
        super().__init__()
        self.token_width = token_width
        self.stem = Stem(config, token_width)
        # Mean and maximum of the frames, and the mean of what they were made from.
        self.project = nn.Sequential(nn.Linear(3 * token_width, width), nn.ReLU(), nn.Dropout(config.dropout))

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """(n, T, F) features, (n,) int64 lengths → a vector, and a token for each frame."""
        return self.upper(AudioFeatures(features, lengths))

    def upper(self, features: AudioFeatures) -> Encoded:
        """Run all of it: nothing of it is frozen."""
        stem_nTW, lengths_n = self.stem(features)
        valid_nT = valid_tokens(stem_nTW[:, :, 0], lengths_n)
        frames_nTW = self.read(stem_nTW, valid_nT)
        # The least of what float16 holds; a recording has one frame at least.
        most_nW = frames_nTW.masked_fill(~valid_nT[:, :, None], -6e4).amax(1)
        pooled = [masked_mean(frames_nTW, valid_nT), most_nW, masked_mean(stem_nTW, valid_nT)]
        return Encoded(self.project(torch.cat(pooled, dim=1)), frames_nTW, valid_nT)

    def read(self, stem_nTW: Tensor, valid_nT: Tensor) -> Tensor:
        """Frames in the light of one another, (n, T, W)."""
        raise NotImplementedError

    def pretrained(self) -> list[nn.Parameter]:
        """Parameters that come pretrained and that training may change."""
        return []

    def fresh(self) -> list[nn.Parameter]:
        """Parameters that start from nothing."""
        return list(self.parameters())


class Stem(nn.Module):
    """Convolutions over time and bands; each halves the bands, and the first ones time, up to `subsampling`."""

    def __init__(self, config: configs.AudioEncoder, token_width: int) -> None:
        super().__init__()
        self._thins = [config.subsampling > 1 << place for place in range(len(config.channels))]
        if config.subsampling > 1 << len(config.channels):
            raise ValueError("subsampling needs a convolution for each halving; give more channels")
        sizes = (1, *config.channels)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(sizes[place], sizes[place + 1], 3, stride=(2 if thins else 1, 2), padding=1)
            for place, thins in enumerate(self._thins)
        )
        # Of each cell's channels by themselves: statistics over time would look behind a recording's end.
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in config.channels)
        num_bands = config.num_mels
        for _ in config.channels:
            num_bands = -(-num_bands // 2)
        self.project = nn.Linear(config.channels[-1] * num_bands, token_width)
        self.norm = nn.LayerNorm(token_width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: AudioFeatures) -> tuple[Tensor, Tensor]:
        """(n, T, F) → frames (n, T', W), and how many count: ceil(T / subsampling)."""
        maps_nCTF, lengths_n = features.features_nTF[:, None], features.lengths_n
        maps_nCTF = maps_nCTF * _times(maps_nCTF, lengths_n)
        for convolution, norm, thins in zip(self.convolutions, self.norms, self._thins, strict=True):
            maps_nCTF = norm(convolution(maps_nCTF).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).relu()
            lengths_n = (lengths_n + 1) // 2 if thins else lengths_n
            maps_nCTF = maps_nCTF * _times(maps_nCTF, lengths_n)
        frames_nTW = self.dropout(self.norm(self.project(maps_nCTF.permute(0, 2, 1, 3).flatten(2))))
        return frames_nTW, lengths_n


def _times(maps_nCTF: Tensor, lengths_n: Tensor) -> Tensor:
    """(n, 1, T, 1): 1 up to each recording's end, then 0."""
    return valid_tokens(maps_nCTF[:, 0, :, 0], lengths_n).to(maps_nCTF.dtype)[:, None, :, None]


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
        self.dropout = nn.Dropout(config.dropout)

    def read(self, stem_nTW: Tensor, valid_nT: Tensor) -> Tensor:
        """See the interface. Lengths go into the recurrence itself, as they do for texts."""
        lengths_n = valid_nT.sum(1).cpu()
        packed = pack_padded_sequence(stem_nTW, lengths_n, batch_first=True, enforce_sorted=False)
        states_nTW, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=stem_nTW.shape[1])
        dropped_nTW: Tensor = self.dropout(states_nTW)
        return dropped_nTW


class ConformerAudioEncoder(AudioEncoder):
    """Blocks of attention and convolution. Order is told by a convolution, so there is no longest recording."""

    def __init__(self, config: configs.ConformerAudioEncoder, width: int) -> None:
        super().__init__(config, config.hidden, width)
        self.position = _Depthwise(config.hidden, config.kernel)
        self.blocks = nn.ModuleList(
            ConformerBlock(config.hidden, config.heads, config.kernel, config.dropout)
            for _ in range(config.layers)
        )

    def read(self, stem_nTW: Tensor, valid_nT: Tensor) -> Tensor:
        """See the interface."""
        states_nTW: Tensor = stem_nTW + self.position(stem_nTW, valid_nT)
        for block in self.blocks:
            states_nTW = block(states_nTW, valid_nT)
        return states_nTW


class ConformerBlock(nn.Module):
    """Half a linear part, attention, convolution, half a linear part (Gulati et al. 2020, figure 1).

    LayerNorm stands where the paper has BatchNorm, whose statistics would be of a batch and its padding.
    """

    def __init__(self, width: int, num_heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.before, self.after = (_feedforward(width, dropout) for _ in range(2))
        self.attention_norm, self.convolution_norm, self.inner_norm, self.norm = (
            nn.LayerNorm(width) for _ in range(4)
        )
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = _Depthwise(width, kernel)
        self.mix = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states_nTW: Tensor, valid_nT: Tensor) -> Tensor:
        """(n, T, W), and which frames count → (n, T, W)."""
        states_nTW = states_nTW + 0.5 * self.before(states_nTW)
        states_nTW = states_nTW + self.dropout(self._attend(self.attention_norm(states_nTW), valid_nT))
        gated_nTW = functional.glu(self.gate(self.convolution_norm(states_nTW)), dim=-1)
        heard_nTW = functional.silu(self.inner_norm(self.depthwise(gated_nTW, valid_nT)))
        states_nTW = states_nTW + self.dropout(self.mix(heard_nTW))
        result_nTW: Tensor = self.norm(states_nTW + 0.5 * self.after(states_nTW))
        return result_nTW

    def _attend(self, states_nTW: Tensor, valid_nT: Tensor) -> Tensor:
        query, key, value = (self._split(layer(states_nTW)) for layer in (self.query, self.key, self.value))
        heard = functional.scaled_dot_product_attention(query, key, value, attn_mask=valid_nT[:, None, None])
        found_nTW: Tensor = self.out(heard.transpose(1, 2).flatten(2))
        return found_nTW

    def _split(self, part_nTW: Tensor) -> Tensor:
        """(n, T, W) → (n, heads, T, W / heads)."""
        count, length, width = part_nTW.shape
        return part_nTW.view(count, length, self.num_heads, width // self.num_heads).transpose(1, 2)


class _Depthwise(nn.Conv1d):
    """Each channel over `kernel` frames, silence beyond the ends."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, states_nTW: Tensor, valid_nT: Tensor) -> Tensor:  # type: ignore[override]
        blanked_nTW = states_nTW * valid_nT.to(states_nTW.dtype)[:, :, None]
        return super().forward(blanked_nTW.transpose(1, 2)).transpose(1, 2)


def _feedforward(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(4 * width, width),
        nn.Dropout(dropout),
    )


def build_audio_encoder(config: configs.AudioEncoder, width: int) -> AudioEncoder:
    """The encoder of the config's kind."""
    if isinstance(config, configs.ConformerAudioEncoder):
        return ConformerAudioEncoder(config, width)
    return ConvRecurrentAudioEncoder(config, width)
