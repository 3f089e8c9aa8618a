"""Several modality vectors to one, whichever are present.

# B batch, M modalities, D width

Every fusion keeps one interface: (B, M, D) vectors and a (B, M) presence mask → (B, D). The contents of an
absent modality never reach the result."""

import torch
from torch import Tensor, nn


class AddFusion(nn.Module):
    """The mean of the vectors that are present."""

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        weight_BM1 = present_BM.to(vectors_BMD.dtype)[:, :, None]
        return blank(vectors_BMD, present_BM).sum(1) / weight_BM1.sum(1)


class GatedFusion(nn.Module):
    """A learned weight for each modality and each of the D features, softmax over the modalities present.

    After Arevalo et al. 2017, "Gated Multimodal Units", with the softmax that more than two modalities need.
    """

    trust_M: Tensor

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(num_modalities * width, num_modalities * width)
        # Starts as the mean; what training finds is a departure from `add`.
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        # How far each modality is to be trusted beside the others; fitted on validation rows, see training.trust.
        self.register_buffer("trust_M", torch.zeros(num_modalities))

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        clean_BMD = blank(vectors_BMD, present_BM)
        gates_BMD = self.gate(clean_BMD.flatten(1)).view_as(clean_BMD) + self.trust_M[None, :, None]
        # Softmax over the present only: a masked zero vector would still take weight, and a text-only answer
        # would then depend on how many modalities the model knows.
        weights_BMD = gates_BMD.masked_fill(~present_BM[:, :, None], -1e4).softmax(dim=1)
        fused_BD: Tensor = (weights_BMD * clean_BMD).sum(1)
        return fused_BD


def blank(vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
    """Zeros where a modality is absent, even if its contents are not a number."""
    return torch.where(present_BM[:, :, None], vectors_BMD, torch.zeros_like(vectors_BMD))


def build_fusion(name: str, num_modalities: int, width: int) -> nn.Module:
    """The fusion called `name` in a recipe."""
    if name == "add":
        return AddFusion()
    return GatedFusion(num_modalities, width)
