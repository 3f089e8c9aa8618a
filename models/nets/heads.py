"""The fused vector to what is asked for: logits or a number per head, and the shared embedding.

# B batch, D width, C classes, E embedding dimensions"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.config import ClassificationHead as ClassificationHeadConfig
from models.config import NetworkConfig
from models.config import RegressionHead as RegressionHeadConfig

MAX_LOG_VARIANCE = 8.0
"""A predicted deviation stays within a factor of e^4 of the training rows' own."""


class HeadOutputs(NamedTuple):
    """What the heads say of a batch, by head.

    logits: (B, C).
    values: (B,), in deviations from the training rows' mean.
    log_variances: (B,), of those values, for the heads that predict their uncertainty.
    """

    logits: dict[str, Tensor]
    values: dict[str, Tensor]
    log_variances: dict[str, Tensor]


class ClassificationHead(nn.Linear):
    """(B, D) → (B, C) logits, in the order of the config's labels."""

    def __init__(self, config: ClassificationHeadConfig, width: int) -> None:
        super().__init__(width, len(config.labels))


class RegressionHead(nn.Linear):
    """(B, D) → (B, 1), the number in deviations; or (B, 2), with its log-variance (Nix and Weigend 1994)."""

    def __init__(self, config: RegressionHeadConfig, width: int) -> None:
        super().__init__(width, 2 if config.uncertainty else 1)

    def forward(self, fused_BD: Tensor) -> Tensor:
        """Predict; the log-variance is bounded by a tanh, whose gradient never ends as a clamp's would."""
        found = super().forward(fused_BD)
        bounded = MAX_LOG_VARIANCE * torch.tanh(found[:, 1:] / MAX_LOG_VARIANCE)
        return torch.cat([found[:, :1], bounded], dim=1)


class Heads(nn.ModuleDict):
    """Heads by their name, which is a column's and so may be anything.

    torch takes no dots in a module's name, nor what its own attributes are called: a column `type` is not rare.
    """

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__({_module_name(name): head for name, head in heads.items()})
        self._names = tuple(heads)

    def each(self, fused_BD: Tensor) -> dict[str, Tensor]:
        """What each gives for fused vectors (B, D), by its name."""
        return {name: head(fused_BD) for name, head in zip(self._names, self.values(), strict=True)}


def _module_name(head: str) -> str:
    taken = not head or "." in head or hasattr(nn.ModuleDict, head) or head in nn.Module().__dict__
    return f"_{head.replace('.', '_')}_{head.encode().hex()}" if taken else head


def build_heads(config: NetworkConfig) -> tuple[Heads, Heads]:
    """A network's classification heads, and those that give a number, by name."""
    return (
        Heads({name: ClassificationHead(head, config.width) for name, head in config.classes.items()}),
        Heads({name: RegressionHead(head, config.width) for name, head in config.targets.items()}),
    )


def run_heads(classes: Heads, targets: Heads, fused_BD: Tensor) -> HeadOutputs:
    """Every head on fused vectors (B, D)."""
    numbers = targets.each(fused_BD)
    return HeadOutputs(
        classes.each(fused_BD),
        {name: found[:, 0] for name, found in numbers.items()},
        {name: found[:, 1] for name, found in numbers.items() if found.shape[1] == 2},
    )


class EmbeddingHead(nn.Linear):
    """(B, D) → (B, E) of unit norm: one space for every modality and for their fusion."""

    def forward(self, fused_BD: Tensor) -> Tensor:
        """Project and normalise; the small constant keeps a zero vector finite in half precision too."""
        return functional.normalize(super().forward(fused_BD), dim=1, eps=1e-6)
