"""A conformer's layer (Gulati et al. 2020, section 2): half a feed-forward, attention, convolution, half.

Two things differ from the paper. Positions are rotations (Su et al. 2021, RoFormer, section 3.2), which any length
has; and where the paper normalises over the batch, this normalises over a frame's channels.

# n rows, t frames, W width of a frame, h heads, d = W / h"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_BASE = 10_000.0  # wavelengths go from 2 pi frames to so many times that


class Turn(NamedTuple):
    """By which angles the halves of queries and keys are turned at each place: (t, d / 2) each."""

    cosine_td: Tensor
    sine_td: Tensor


class Rotation(nn.Module):
    """Places to angles. No weights, so no longest length."""

    rates_d: Tensor

    def __init__(self, head_width: int) -> None:
        super().__init__()
        rates_d = _BASE ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
        self.register_buffer("rates_d", rates_d, persistent=False)

    def forward(self, valid_nt: Tensor) -> Turn:
        """The angles for as many frames as (n, t) has."""
        places_t = torch.arange(valid_nt.shape[1], device=valid_nt.device).to(torch.float32)
        angles_td = places_t[:, None] * self.rates_d
        return Turn(angles_td.cos(), angles_td.sin())


class ConformerLayer(nn.Module):
    """Each part is normalised first and added to what it saw; the sum is normalised."""

    def __init__(self, width: int, num_heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.before, self.after = FeedForward(width, dropout), FeedForward(width, dropout)
        self.attention = Attention(width, num_heads, dropout)
        self.convolution = Convolution(width, kernel, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, frames_ntW: Tensor, valid_nt: Tensor, turn: Turn) -> Tensor:
        """(n, t, W), which of them are a recording's own, and the angles of their places → (n, t, W)."""
        frames_ntW = frames_ntW + 0.5 * self.before(frames_ntW)
        frames_ntW = frames_ntW + self.attention(frames_ntW, valid_nt, turn)
        frames_ntW = frames_ntW + self.convolution(frames_ntW, valid_nt)
        result_ntW: Tensor = self.norm(frames_ntW + 0.5 * self.after(frames_ntW))
        return result_ntW


class FeedForward(nn.Sequential):
    """Each frame by itself, through four times its width."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )


class Attention(nn.Module):
    """Every frame looks at all frames of its recording, by what they are and by how far away they are."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames_ntW: Tensor, valid_nt: Tensor, turn: Turn) -> Tensor:
        """(n, t, W) → (n, t, W); what is in the padding is not looked at."""
        normal_ntW = self.norm(frames_ntW)
        query, key, value = (self._split(layer(normal_ntW)) for layer in (self.query, self.key, self.value))
        heard_nhtd = functional.scaled_dot_product_attention(
            turned(query, turn), turned(key, turn), value, attn_mask=valid_nt[:, None, None]
        )
        result_ntW: Tensor = self.dropout(self.out(heard_nhtd.transpose(1, 2).flatten(2)))
        return result_ntW

    def _split(self, part_ntW: Tensor) -> Tensor:
        count, length, width = part_ntW.shape
        return part_ntW.view(count, length, self.num_heads, width // self.num_heads).transpose(1, 2)


class Convolution(nn.Module):
    """Every channel over its nearest frames, with a gate before it."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.depthwise_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames_ntW: Tensor, valid_nt: Tensor) -> Tensor:
        """(n, t, W) → (n, t, W). Padding is blanked first: it is what stands beyond the end anyway."""
        gated_ntW = functional.glu(self.inner(self.norm(frames_ntW))).masked_fill(~valid_nt[:, :, None], 0.0)
        near_ntW = self.depthwise(gated_ntW.transpose(1, 2)).transpose(1, 2)
        result_ntW: Tensor = self.dropout(self.outer(functional.silu(self.depthwise_norm(near_ntW))))
        return result_ntW


def turned(part_nhtd: Tensor, turn: Turn) -> Tensor:
    """Queries or keys (n, h, t, d), turned: their products then depend on how far apart their places are."""
    first, second = part_nhtd.float().chunk(2, dim=3)
    cosine, sine = turn
    whole_nhtd = torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=3)
    return whole_nhtd.to(part_nhtd.dtype)
