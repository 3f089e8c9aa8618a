"""The fused vector to what is asked for: logits or a number per head, and the shared embedding.

# B batch, D width, C classes, E embedding dimensions"""

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


def build_heads(config: NetworkConfig) -> tuple[nn.ModuleDict, nn.ModuleDict]:
    """A network's classification heads, and those that give a number, by name."""
    return (
        nn.ModuleDict({name: ClassificationHead(head, config.width) for name, head in config.classes.items()}),
        nn.ModuleDict({name: RegressionHead(head, config.width) for name, head in config.targets.items()}),
    )


def run_heads(classes: nn.ModuleDict, targets: nn.ModuleDict, fused_BD: Tensor) -> HeadOutputs:
    """Every head on fused vectors (B, D)."""
    numbers = {name: head(fused_BD) for name, head in targets.items()}
    return HeadOutputs(
        {name: head(fused_BD) for name, head in classes.items()},
        {name: found[:, 0] for name, found in numbers.items()},
        {name: found[:, 1] for name, found in numbers.items() if found.shape[1] == 2},
    )


class EmbeddingHead(nn.Linear):
    """(B, D) → (B, E) of unit norm: one space for every modality and for their fusion."""

    def forward(self, fused_BD: Tensor) -> Tensor:
        """Project and normalise; the small constant keeps a zero vector finite in half precision too."""
        return functional.normalize(super().forward(fused_BD), dim=1, eps=1e-6)
