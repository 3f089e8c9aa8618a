"""What training minimises: masked cross-entropy for each head, and a contrastive loss between modalities.

# B batch, C classes, E embedding dimensions, H heads"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data import UNLABELLED

MAX_SCALE = 100.0  # CLIP's bound: above it, one pair decides the whole gradient


def classification_loss(
    logits: Mapping[str, Tensor], labels_BH: Tensor, weights: Mapping[str, float], smoothing: float
) -> Tensor:
    """Weighted sum over heads of the mean cross-entropy of labelled rows; an empty cell adds nothing."""
    total = labels_BH.new_zeros((), dtype=torch.float32)
    for column, (head, logits_BC) in enumerate(logits.items()):
        labels_B = labels_BH[:, column]
        if bool((labels_B != UNLABELLED).any()):
            loss = functional.cross_entropy(
                logits_BC, labels_B, ignore_index=UNLABELLED, label_smoothing=smoothing
            )
            total = total + weights.get(head, 1.0) * loss
    return total


class ContrastiveLoss(nn.Module):
    """Symmetric InfoNCE with a learned scale (Radford et al. 2021, CLIP, figure 3).

    Rows with equal text or an equal image are not negatives of one another.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(2.3))  # e ** 2.3 = 10

    def forward(self, left_BE: Tensor, right_BE: Tensor, same_BB: Tensor) -> Tensor:
        """Mean of both directions; `same_BB` marks pairs of rows that may not repel each other."""
        scores_BB = left_BE @ right_BE.T * self.log_scale.exp().clamp(max=MAX_SCALE)
        itself_BB = torch.eye(len(left_BE), dtype=torch.bool, device=left_BE.device)
        scores_BB = scores_BB.masked_fill(same_BB & ~itself_BB, -1e4)
        target_B = torch.arange(len(left_BE), device=left_BE.device)
        both = functional.cross_entropy(scores_BB, target_B) + functional.cross_entropy(scores_BB.T, target_B)
        return 0.5 * both
