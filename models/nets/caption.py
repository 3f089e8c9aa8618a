"""A transformer that writes a text while it looks at an item: its decoder, and what a step leaves to the next.

A memory is made of an item once. Then a step takes the next subwords, with the keys and values of those before,
and says which subword may follow.

# n items, R texts (k of each item, one after the other), S tokens of the memory, T subwords of a step, t subwords
# before them, H heads, A width of a head, W width, V subwords that can be written"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.config import CaptionHead
from models.nets.encoders import OUTLIER

START, END, UNKNOWN = range(3)
"""What the decoder's first numbers are: the beginning of a text, its end, and a subword that it never writes. The
head's `tokens` follow."""

HIDDEN = -1e4
"""Added to the score of what may not be looked at: nothing, after a softmax, and finite in half precision."""


class KeysValues(NamedTuple):
    """Of one layer: (R, H, S or t, A) each."""

    keys: Tensor
    values: Tensor


class Memory(NamedTuple):
    """What is looked at while writing about n items.

    layers: keys and values by layer. mask_nS: 0, or HIDDEN where an item has no such token.
    """

    layers: tuple[KeysValues, ...]
    mask_nS: Tensor

    def hide(self, rows_n: Tensor) -> "Memory":
        """The same with nothing to look at in some rows, bool (n,): as if the items had none of it."""
        nothing_S = torch.full_like(self.mask_nS[0], HIDDEN)
        nothing_S[0] = 0
        return self._replace(mask_nS=torch.where(rows_n[:, None], nothing_S, self.mask_nS))


class CaptionDecoder(nn.Module):
    """Subwords so far and a memory → log-probabilities of the next."""

    def __init__(self, config: CaptionHead, token_widths: Mapping[str, int]) -> None:
        """Build for these widths of each modality's tokens.

        Raises:
            ValueError: the head's tokens are not known yet.
        """
        super().__init__()
        if not config.tokens:
            raise ValueError("caption.tokens: must be filled in before the network is built")
        self.config = config
        width, self.num_tokens = config.hidden, 3 + len(config.tokens)
        self.scales = nn.ModuleDict({name: _Scale(token_widths[name]) for name in config.reads})
        self.inputs = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(token_widths[name], width), nn.LayerNorm(width), nn.Dropout(config.dropout)
                )
                for name in config.reads
            }
        )
        # Always there, so that an item without any of its modalities still has something to look at.
        self.nothing = nn.Parameter(torch.zeros(1, 1, width))
        self.embedding = nn.Embedding(self.num_tokens, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.positions = nn.Embedding(config.max_tokens + 1, width)
        nn.init.normal_(self.positions.weight, std=0.1)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(self.num_tokens))

    def width_of(self, modality: str) -> int:
        """Width of the tokens of one that it reads."""
        return int(self._scale(modality).mean.shape[0])

    @torch.no_grad()
    def standardise(self, modality: str, tokens_mW: Tensor) -> None:
        """Measure the scale of one modality's tokens on some of them."""
        scale = self._scale(modality)
        scale.mean.copy_(tokens_mW.mean(0))
        std_W = tokens_mW.std(0, correction=0)
        # What hardly varies beside the rest is not blown up.
        scale.std.copy_(std_W + 0.01 * std_W.mean() + 1e-6)

    def is_standardised(self, modality: str) -> bool:
        """Whether the scale of one modality's tokens has been measured."""
        scale = self._scale(modality)
        return bool(scale.mean.any()) or not bool((scale.std == 1).all())

    def _scale(self, modality: str) -> "_Scale":
        scale = self.scales.get_submodule(modality)
        assert isinstance(scale, _Scale)  # noqa: S101 - for the type checker
        return scale

    def remember(self, tokens: Mapping[str, tuple[Tensor, Tensor]]) -> Memory:
        """Each modality's tokens (n, T, W of its own) and bool (n, T) → the memory; `nothing` comes first."""
        first = next(iter(tokens.values()))[0]
        values = [self.nothing.expand(first.shape[0], 1, -1)]
        valid = [torch.ones_like(first[:, :1, 0], dtype=torch.bool)]
        for name, layer in self.inputs.items():
            tokens_nTW, valid_nT = tokens[name]
            values.append(layer(self._scale(name)(tokens_nTW)))
            valid.append(valid_nT)
        memory_nSW, valid_nS = torch.cat(values, dim=1), torch.cat(valid, dim=1)
        mask_nS = torch.zeros_like(memory_nSW[:, :, 0]).masked_fill(~valid_nS, HIDDEN)
        return Memory(tuple(layer.remember(memory_nSW) for layer in self.layers), mask_nS)  # type: ignore[operator]

    def step(
        self,
        ids_RT: Tensor,
        positions: Tensor,
        causal: Tensor,
        memory: Memory,
        past: Sequence[KeysValues] | None = None,
    ) -> tuple[Tensor, tuple[KeysValues, ...]]:
        """Read T more subwords of each text.

        Args:
            ids_RT: their numbers.
            positions: (T,) or (R, T), their places in the text, from 0.
            causal: (T, t + T) or (R, 1, T, t + T), 0, or HIDDEN where a place comes later, or is none of a text's.
            memory: of n items; text r is about item r // (R / n).
            past: by layer, of the subwords before; None before the first.

        Returns:
            States (R, T, W), for `scores`, and keys and values of all subwords so far.
        """
        states_RTW = self.embedding(ids_RT) * self.config.hidden**0.5 + self.positions(positions)
        states_RTW = self.dropout(states_RTW)
        known: list[KeysValues] = []
        for place, layer in enumerate(self.layers):
            before = None if past is None else past[place]
            states_RTW, own = layer(states_RTW, causal, memory.layers[place], memory.mask_nS, before)
            known.append(own)
        return states_RTW, tuple(known)

    def scores(self, states_RTW: Tensor) -> Tensor:
        """States → logits (R, T, V)."""
        return functional.linear(self.norm(states_RTW), self.embedding.weight, self.bias)

    def forward(self, ids_RT: Tensor, memory: Memory) -> Tensor:
        """Whole texts at once: logits (R, T, V) of the subword after each."""
        return self.scores(self.read(ids_RT, memory))

    def read(self, ids_RT: Tensor, memory: Memory, used_RT: Tensor | None = None) -> Tensor:
        """Whole texts at once: states (R, T, W); or (u, W), of the places alone that are used, bool (R, T).

        What comes after the last place that is used must not be used either.
        """
        positions_T = torch.arange(ids_RT.shape[1], device=ids_RT.device)
        causal_TT = torch.full((len(positions_T), len(positions_T)), HIDDEN, device=ids_RT.device).triu(1)
        if used_RT is None:
            return self.step(ids_RT, positions_T, causal_TT, memory)[0]
        states_RTW = self.embedding(ids_RT) * self.config.hidden**0.5 + self.positions(positions_T)
        places = Places(used_RT)
        states_uW: Tensor = self.dropout(states_RTW[used_RT])
        for layer, known in zip(self.layers, memory.layers, strict=True):
            assert isinstance(layer, DecoderLayer)  # noqa: S101 - for the type checker
            states_uW = layer.read(states_uW, places, causal_TT, known, memory.mask_nS)
        return states_uW


class Places:
    """Which places of texts are used: all that is done to each by itself is done to those alone."""

    def __init__(self, used_RT: Tensor) -> None:
        self._shape, self._where_u = used_RT.shape, used_RT.reshape(-1).nonzero()[:, 0]

    def spread(self, values_uW: Tensor) -> Tensor:
        """(u, W) → (R, T, W), zeros where nothing is used."""
        blank = values_uW.new_zeros(self._shape.numel(), values_uW.shape[1])
        spread_RTW: Tensor = blank.index_copy(0, self._where_u, values_uW).reshape(*self._shape, -1)
        return spread_RTW

    def take(self, values_RTW: Tensor) -> Tensor:
        """(R, T, W) → (u, W)."""
        return values_RTW.flatten(0, 1).index_select(0, self._where_u)


class _Scale(nn.Module):
    """Brings the channels of tokens to one scale, which training measures."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def forward(self, tokens_nTW: Tensor) -> Tensor:
        """(n, T, W) of any scale → of mean 0 and deviation 1, as far as they are like those of training."""
        return ((tokens_nTW - self.mean) / self.std).clamp(-OUTLIER, OUTLIER)


class DecoderLayer(nn.Module):
    """Looks at the subwords before, at the memory, and thinks."""

    def __init__(self, config: CaptionHead) -> None:
        super().__init__()
        width, self.heads = config.hidden, config.heads
        self.self_norm, self.cross_norm, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.self_in, self.self_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.cross_query, self.cross_memory = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, config.feedforward), nn.Linear(config.feedforward, width)
        self.dropout = nn.Dropout(config.dropout)

    def remember(self, memory_nSW: Tensor) -> KeysValues:
        """The memory as this layer looks at it."""
        keys, values = self.cross_memory(memory_nSW).chunk(2, dim=2)
        return KeysValues(self._split(keys), self._split(values))

    def forward(
        self, states_RTW: Tensor, causal: Tensor, memory: KeysValues, mask_nS: Tensor, past: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        """See `CaptionDecoder.step`."""
        query, keys, values = self.self_in(self.self_norm(states_RTW)).chunk(3, dim=2)
        own = KeysValues(self._split(keys), self._split(values))
        if past is not None:
            own = KeysValues(*(torch.cat(pair, dim=2) for pair in zip(past, own, strict=True)))
        seen_RTW = _joined(_attend(self._split(query), own, causal))
        states_RTW = states_RTW + self.dropout(self.self_out(seen_RTW))
        seen_RTW = self._look(self.cross_query(self.cross_norm(states_RTW)), memory, mask_nS)
        states_RTW = states_RTW + self.dropout(self.cross_out(seen_RTW))
        return self._think(states_RTW), own

    def read(
        self, states_uW: Tensor, places: "Places", causal_TT: Tensor, memory: KeysValues, mask_nS: Tensor
    ) -> Tensor:
        """See `CaptionDecoder.read`: the same as `forward` where nothing comes before."""
        query, keys, values = (
            self._split(part) for part in places.spread(self.self_in(self.self_norm(states_uW))).chunk(3, dim=2)
        )
        seen_uW = places.take(_joined(_attend(query, KeysValues(keys, values), causal_TT)))
        states_uW = states_uW + self.dropout(self.self_out(seen_uW))
        query_RTW = places.spread(self.cross_query(self.cross_norm(states_uW)))
        seen_uW = places.take(self._look(query_RTW, memory, mask_nS))
        return self._think(states_uW + self.dropout(self.cross_out(seen_uW)))

    def _look(self, query_RTW: Tensor, memory: KeysValues, mask_nS: Tensor) -> Tensor:
        """The texts about one item ask its memory together: it is there once."""
        query_nQW = query_RTW.reshape(mask_nS.shape[0], -1, query_RTW.shape[2])
        seen_nQW = _joined(_attend(self._split(query_nQW), memory, mask_nS[:, None, None, :]))
        return seen_nQW.reshape(query_RTW.shape)

    def _think(self, states: Tensor) -> Tensor:
        inner = functional.relu(self.inner(self.norm(states)))
        thought: Tensor = states + self.dropout(self.outer(inner))
        return thought

    def _split(self, values_nTW: Tensor) -> Tensor:
        """(n, T, W) → (n, H, T, A)."""
        parts_nTHA: Tensor = values_nTW.reshape(*values_nTW.shape[:2], self.heads, -1)
        return parts_nTHA.transpose(1, 2)


def _attend(query_nHTA: Tensor, known: KeysValues, mask: Tensor) -> Tensor:
    """Scaled dot-product attention, written out: each engine fuses it as it likes."""
    scores_nHTS = query_nHTA @ known.keys.transpose(2, 3) * query_nHTA.shape[3] ** -0.5 + mask
    values_nHTA: Tensor = scores_nHTS.softmax(3) @ known.values
    return values_nHTA


def _joined(values_nHTA: Tensor) -> Tensor:
    """(n, H, T, A) → (n, T, W)."""
    joined_nTW: Tensor = values_nHTA.transpose(1, 2).flatten(2)
    return joined_nTW
