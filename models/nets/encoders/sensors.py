"""A window of readings to a vector, and to tokens. One class for each kind of encoder in the config.

# n rows, T steps, C channels, F = 2 C features of a step, W width of a token, D width"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models import config as configs
from models.nets.encoders import Encoded, Encoder

_LEAST = -1e4  # below every state, and within half precision


class SensorReadings(NamedTuple):
    """What an encoder of sensors takes; nothing of it is frozen, so nothing of it is cached.

    values_nTC: float32, in deviations; what stands where nothing is known does not count, NaN neither.
    known_nTC: bool; of each row at least one is.
    """

    values_nTC: Tensor
    known_nTC: Tensor


class SensorEncoder(Encoder):
    """The interface, and what all kinds share: a reading and the bit that says whether there is one."""

    def forward(self, values: Tensor, known: Tensor) -> Encoded:
        """(n, T, C) float32 and bool → a vector, and tokens."""
        return self.upper(self.lower(values, known))

    def lower(self, values: Tensor, known: Tensor) -> SensorReadings:
        """Nothing is frozen."""
        return SensorReadings(values, known)

    def upper(self, lower: SensorReadings) -> Encoded:
        """Run it all."""
        values_nTC, known_nTC = lower
        # Without the bits, a missing reading would be the mean of all training rows.
        features_nTF = torch.cat([values_nTC.masked_fill(~known_nTC, 0.0), known_nTC.to(values_nTC.dtype)], dim=2)
        return self.read(features_nTF, known_nTC.any(2))

    def read(self, features_nTF: Tensor, valid_nT: Tensor) -> Encoded:
        """Features, and which steps have any reading, to what the encoder gives."""
        raise NotImplementedError


class MlpSensorEncoder(SensorEncoder):
    """The whole window through fully connected layers."""

    def __init__(self, config: configs.MlpSensorEncoder, width: int) -> None:
        super().__init__()
        self.token_width = config.hidden
        sizes = [2 * config.num_channels * config.steps, *[config.hidden] * config.layers]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), nn.LayerNorm(after), nn.GELU(), nn.Dropout(config.dropout))
                for before, after in pairwise(sizes)
            )
        )
        self.project = nn.Linear(config.hidden, width)

    def read(self, features_nTF: Tensor, valid_nT: Tensor) -> Encoded:
        """See the interface; one token, which is the last layer."""
        state_nW = self.layers(features_nTF.flatten(1))
        return Encoded(self.project(state_nW), state_nW[:, None], valid_nT.any(1, keepdim=True))


class TemporalConvSensorEncoder(SensorEncoder):
    """Steps in the light of those before them (Bai et al. 2018); the newest, their mean and their maximum."""

    def __init__(self, config: configs.TemporalConvSensorEncoder, width: int) -> None:
        super().__init__()
        self.token_width = config.hidden
        self.stem = nn.Linear(2 * config.num_channels, config.hidden)
        self.layers = nn.ModuleList(
            TemporalConvolution(config.hidden, config.kernel, 2**place, config.dropout)
            for place in range(config.layers)
        )
        self.project = nn.Sequential(nn.Linear(3 * config.hidden, width), nn.ReLU(), nn.Dropout(config.dropout))

    def read(self, features_nTF: Tensor, valid_nT: Tensor) -> Encoded:
        """See the interface; a token for each step."""
        states_nTW = self.stem(features_nTF)
        for layer in self.layers:
            states_nTW = layer(states_nTW)
        valid_nT1 = valid_nT[:, :, None]
        weights_nT1 = valid_nT1.to(states_nTW.dtype)
        mean_nW = (states_nTW * weights_nT1).sum(1) / weights_nT1.sum(1)
        most_nW = states_nTW.masked_fill(~valid_nT1, _LEAST).amax(1)
        pooled_n3W = torch.cat([states_nTW[:, -1], mean_nW, most_nW], dim=1)
        return Encoded(self.project(pooled_n3W), states_nTW, valid_nT)


class TemporalConvolution(nn.Module):
    """A causal convolution with a way round it; each step is normalised by itself."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.convolution = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states_nTW: Tensor) -> Tensor:
        """(n, T, W) → (n, T, W)."""
        padded_nWT = functional.pad(states_nTW.transpose(1, 2), (self.reach, 0))
        found_nTW = functional.gelu(self.convolution(padded_nWT).transpose(1, 2))
        summed_nTW: Tensor = self.norm(states_nTW + self.dropout(found_nTW))
        return summed_nTW


def build_sensor_encoder(config: configs.SensorEncoder, width: int) -> SensorEncoder:
    """The encoder of the config's kind."""
    if isinstance(config, configs.TemporalConvSensorEncoder):
        return TemporalConvSensorEncoder(config, width)
    return MlpSensorEncoder(config, width)
