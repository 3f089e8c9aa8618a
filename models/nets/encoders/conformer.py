"""A conformer's layer (Gulati et al. 2020, section 2): half a feed-forward, attention, convolution, half.

Three things differ from the paper. Positions are rotations (Su et al. 2021, RoFormer, section 3.2), which any
length has. A frame looks at those within `reach` alone, or memory would grow with the square of the length, to
0.8 GB for a minute. And where the paper normalises over the batch, this normalises over a frame's channels.

# n rows, t frames, W width of a frame, h heads, d = W / h, b blocks of q frames, k = 3 q"""

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

    def forward(self, frames_ntW: Tensor, valid_nt: Tensor, turn: Turn, seen_nbqk: Tensor) -> Tensor:
        """(n, t, W), which of them are a recording's own, their angles, and their `band` → (n, t, W)."""
        frames_ntW = frames_ntW + 0.5 * self.before(frames_ntW)
        frames_ntW = frames_ntW + self.attention(frames_ntW, turn, seen_nbqk)
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
    """Every frame looks at those of its recording that are near, by what they are and by how far away they are."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames_ntW: Tensor, turn: Turn, seen_nbqk: Tensor) -> Tensor:
        """(n, t, W), their angles, and their `band` → (n, t, W)."""
        normal_ntW = self.norm(frames_ntW)
        query, key, value = (self._split(layer(normal_ntW)) for layer in (self.query, self.key, self.value))
        size = seen_nbqk.shape[2]
        query_nhbqd = in_blocks(turned(query, turn), size)[:, :, 1:-1]
        key_nhbkd, value_nhbkd = (with_neighbours(in_blocks(part, size)) for part in (turned(key, turn), value))
        heard = functional.scaled_dot_product_attention(
            query_nhbqd, key_nhbkd, value_nhbkd, attn_mask=seen_nbqk[:, None]
        )
        heard_nthd = heard.flatten(2, 3)[:, :, : frames_ntW.shape[1]].transpose(1, 2)
        result_ntW: Tensor = self.dropout(self.out(heard_nthd.flatten(2)))
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


def band(valid_nt: Tensor, reach: int) -> Tensor:
    """Which frames each looks at: its own recording's, at most `reach` away; (n, b, q, k), in blocks.

    A frame always looks at itself, or one in the padding would look at nothing, and a softmax of nothing is NaN.
    """
    # The length of a slice: a minimum would be a constant of the exported graph.
    size = valid_nt[:, :reach].shape[1]
    valid_nbk = with_neighbours(in_blocks(valid_nt[:, None, :, None], size))[:, 0, :, :, 0]
    places_k = torch.arange(3 * size, device=valid_nt.device) - size
    apart_qk = (places_k - places_k[size : 2 * size, None]).abs()
    return (valid_nbk[:, :, None] & (apart_qk <= reach)) | (apart_qk == 0)


def in_blocks(part_nhtd: Tensor, size: int) -> Tensor:
    """Blocks of `size` frames, (n, h, 1 + b + 1, q, d): the last is filled up, and at each end is a blank one."""
    count, heads, length, width = part_nhtd.shape
    num_blocks = (length + size - 1) // size
    blank = torch.zeros_like(part_nhtd[:, :, :size])
    filled = torch.cat([blank, part_nhtd, blank, blank], dim=2)[:, :, : (num_blocks + 2) * size]
    return filled.reshape(count, heads, num_blocks + 2, size, width)


def with_neighbours(blocks: Tensor) -> Tensor:
    """(n, h, b + 2, q, d) → each block but the ends between the two beside it, (n, h, b, k, d)."""
    return torch.cat([blocks[:, :, :-2], blocks[:, :, 1:-1], blocks[:, :, 2:]], dim=3)
