"""The fused vector to what is asked for: logits per head, and the shared embedding."""

from torch import Tensor, nn
from torch.nn import functional

from models.config import ClassificationHead as ClassificationHeadConfig


class ClassificationHead(nn.Linear):
    """(B, D) → (B, C) logits, in the order of the config's labels."""

    def __init__(self, config: ClassificationHeadConfig, width: int) -> None:
        super().__init__(width, len(config.labels))


class EmbeddingHead(nn.Linear):
    """(B, D) → (B, E) of unit norm: one space for every modality and for their fusion."""

    def forward(self, fused_BD: Tensor) -> Tensor:
        """Project and normalise; the small constant keeps a zero vector finite in half precision too."""
        return functional.normalize(super().forward(fused_BD), dim=1, eps=1e-6)
