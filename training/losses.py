"""What training minimises: a masked loss for each kind of head, and contrastive losses between modalities.

# B batch, C classes, E embedding dimensions, H heads of a single label"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.pairs import UNLABELLED

MAX_SCALE = 100.0  # CLIP's bound: above it, one pair decides the whole gradient


def single_label_loss(
    logits_BC: Tensor, labels_B: Tensor, smoothing: float = 0.0, weight_C: Tensor | None = None
) -> Tensor | None:
    """Mean cross-entropy of the labelled rows, by their labels' weights; None where there are none."""
    if not bool((labels_B != UNLABELLED).any()):
        return None
    return functional.cross_entropy(
        logits_BC, labels_B, weight_C, ignore_index=UNLABELLED, label_smoothing=smoothing
    )


def multi_label_loss(logits_BC: Tensor, truth_BC: Tensor, weight_C: Tensor | None = None) -> Tensor | None:
    """Mean over rows and labels of the log-loss of a sigmoid each; a row of NaN has no cell.

    `weight_C` multiplies the loss of labels that hold. None where no row has a cell.
    """
    known_B = ~truth_BC[:, 0].isnan()
    if not bool(known_B.any()):
        return None
    return functional.binary_cross_entropy_with_logits(logits_BC[known_B], truth_BC[known_B], pos_weight=weight_C)


def regression_loss(values_B: Tensor, truth_B: Tensor, log_variances_B: Tensor | None = None) -> Tensor | None:
    """Mean over the rows with a number (no NaN), in deviations of the training rows; None where there are none.

    Huber's loss (1964), half the square of an error below 1 and linear above. With log-variances s, the Gaussian
    negative log-likelihood without its constant: (error² exp(-s) + s) / 2 (Nix and Weigend 1994).
    """
    known_B = ~truth_B.isnan()
    if not bool(known_B.any()):
        return None
    errors_n = values_B[known_B] - truth_B[known_B]
    if log_variances_B is None:
        return functional.huber_loss(errors_n, torch.zeros_like(errors_n))
    log_variances_n = log_variances_B[known_B]
    return 0.5 * (errors_n.square() * torch.exp(-log_variances_n) + log_variances_n).mean()


class ContrastiveLoss(nn.Module):
    """Symmetric InfoNCE with a learned scale (Radford et al. 2021, CLIP, figure 3).

    Rows with equal text or an equal image are not negatives of one another.
    """

    def __init__(self, scale: float = 10.0) -> None:
        """Start from `scale`, which is learnt."""
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, left_BE: Tensor, right_BE: Tensor, same_BB: Tensor) -> Tensor:
        """Mean of both directions; `same_BB` marks pairs of rows that may not repel each other."""
        scores_BB = left_BE @ right_BE.T * self.log_scale.exp().clamp(max=MAX_SCALE)
        itself_BB = torch.eye(len(left_BE), dtype=torch.bool, device=left_BE.device)
        scores_BB = scores_BB.masked_fill(same_BB & ~itself_BB, -1e4)
        target_B = torch.arange(len(left_BE), device=left_BE.device)
        both = functional.cross_entropy(scores_BB, target_B) + functional.cross_entropy(scores_BB.T, target_B)
        return 0.5 * both


class SigmoidContrast(nn.Module):
    """The log-loss of each pair of the batch, with a learned scale and bias (Zhai et al. 2023, SigLIP).

    Rows with equal text or an equal image belong together too. A sum over each row's pairs, a mean over rows.
    """

    def __init__(self, scale: float = 10.0) -> None:
        """Start from `scale`, which is learnt."""
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        # Nearly all pairs are negatives: at first, none is taken to belong together.
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(self, left_BE: Tensor, right_BE: Tensor, same_BB: Tensor) -> Tensor:
        """As `ContrastiveLoss.forward`; `same_BB` marks pairs that belong together, beside each row's own."""
        scores_BB = left_BE @ right_BE.T * self.log_scale.exp().clamp(max=MAX_SCALE) + self.bias
        together_BB = same_BB | torch.eye(len(left_BE), dtype=torch.bool, device=left_BE.device)
        pairs_BB = functional.binary_cross_entropy_with_logits(scores_BB, together_BB.float(), reduction="none")
        return pairs_BB.sum() / len(left_BE)
