"""An encoder for each modality: its prepared arrays to one vector of width D, and to tokens of a width of its own.

An encoder has two halves. `lower` never changes in training, so its output can be cached; `upper` is what learns.

# n rows that have the modality, T tokens, W width of a token, D width"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

OUTLIER = 6.0  # standardised features beyond it say "unlike the training data" and no more


class Encoded(NamedTuple):
    """What an encoder gives.

    vector_nD: the whole input in one vector.
    tokens_nTW: its parts: cells of the last map, subwords. Once `Network.normalise` has seen them, of width D, or
        None where the network's fusion does not look at them.
    valid_nT: bool; false for padding. None as above.
    details_nTW: of as many parts, what a caption looks at, where that is more than tokens.
    """

    vector_nD: Tensor
    tokens_nTW: Tensor | None = None
    valid_nT: Tensor | None = None
    details_nTW: Tensor | None = None


class Encoder(nn.Module):
    """What every modality's encoder is, to the network and to training."""

    token_width: int
    """W: width of a token, before `Network.normalise`."""

    @property
    def details_width(self) -> int:
        """W of what a caption looks at."""
        return self.token_width

    def keep_details(self) -> None:
        """From now on, give what a caption looks at, where that is more than tokens."""

    def upper(self, lower: Any) -> Encoded:
        """Run the trainable part on what its own `lower` gives."""
        raise NotImplementedError

    def pretrained(self) -> list[nn.Parameter]:
        """Parameters that come pretrained and that training may change."""
        return []

    def fresh(self) -> list[nn.Parameter]:
        """Parameters that start from nothing."""
        return list(self.parameters())


def join_features(parts: Sequence[Tensor], like_n: Tensor) -> Tensor:
    """Features side by side; (n, 0) where there are none, and only there: a traced n would be of one batch."""
    return torch.cat(list(parts), dim=1) if parts else torch.zeros(like_n.shape[0], 0, device=like_n.device)


class Projection(nn.Sequential):
    """Pooled features to the width that all modalities share: linear, or through a hidden layer."""

    def __init__(self, features: int, hidden: int, width: int, dropout: float) -> None:
        """Build; `hidden` 0 leaves a dropout and a linear layer."""
        if not hidden:
            super().__init__(nn.Dropout(dropout), nn.Linear(features, width))
            return
        super().__init__(
            nn.Dropout(dropout),
            nn.Linear(features, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )


def valid_tokens(like_nT: Tensor, lengths_n: Tensor) -> Tensor:
    """(n, T) bool: true up to each row's length."""
    return torch.arange(like_nT.shape[1], device=like_nT.device) < lengths_n[:, None]


def masked_mean(states_nTH: Tensor, valid_nT: Tensor) -> Tensor:
    """The mean over valid tokens, (n, H)."""
    weights_nT1 = valid_nT.to(states_nTH.dtype)[:, :, None]
    return (states_nTH * weights_nT1).sum(1) / weights_nT1.sum(1)
