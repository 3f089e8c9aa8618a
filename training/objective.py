"""The weighted sum that is minimised: what each head loses, and tasks weighed by the recipe or by what is learnt.

Knows heads and losses; knows nothing of encoders and of where the rows come from."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.config import NetworkConfig
from models.nets.heads import HeadOutputs
from training.data.truth import Truth
from training.losses import multi_label_loss, regression_loss, single_label_loss


def head_losses(
    config: NetworkConfig,
    found: HeadOutputs,
    truth: Truth,
    *,
    smoothing: float = 0.0,
    balance: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The loss of each head that a row of the batch has a cell for; the others are left out.

    Args:
        config: of the network.
        found: of the batch.
        truth: of the same rows.
        smoothing: of heads of a single label.
        balance: head → weights (C,) of its labels, where they differ; see `class_balance`.
    """
    weights = {head: part.to(truth.labels_NH.device) for head, part in (balance or {}).items()}
    losses: dict[str, Tensor | None] = {}
    for column, head in enumerate(config.single_label_heads):
        labels_B = truth.labels_NH[:, column]
        losses[head] = single_label_loss(found.logits[head], labels_B, smoothing, weights.get(head))
    for head, truth_BC in truth.label_sets.items():
        losses[head] = multi_label_loss(found.logits[head], truth_BC, weights.get(head))
    for column, head in enumerate(config.targets):
        truth_B = truth.targets_NT[:, column]
        losses[head] = regression_loss(found.values[head], truth_B, found.log_variances.get(head))
    return {head: loss for head, loss in losses.items() if loss is not None}


class TaskWeights(nn.Module):
    """The weighted sum over tasks, with s = log sigma² for each that learns its weight.

    Kendall, Gal and Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics".
    """

    def __init__(self, learned: Sequence[str] = ()) -> None:
        """Take the names of the tasks that learn a weight, beside the fixed one that every task has.

        A task whose loss may fall below 0, as a likelihood's does, must not learn one: it would have no bound.
        """
        super().__init__()
        self._learned = tuple(learned)
        self.log_variances = nn.Parameter(torch.zeros(len(self._learned))) if learned else None

    def forward(self, losses: Mapping[str, Tensor], fixed: Mapping[str, float]) -> Tensor:
        """The sum over the tasks that have a loss, by their fixed weights, 1 if absent.

        Within that, a learnt task adds exp(-s) loss + s / 2. Of cross-entropies that is Kendall's own term; of
        Huber's loss, which is half a squared error, it is his exp(-s) error² / 2 + s / 2 for a regression.
        """
        total = torch.zeros(())
        for task, loss in losses.items():
            if self.log_variances is not None and task in self._learned:
                log_variance = self.log_variances[self._learned.index(task)]
                loss = torch.exp(-log_variance) * loss + 0.5 * log_variance
            total = total + fixed.get(task, 1.0) * loss
        return total

    def learned(self) -> dict[str, float]:
        """By task that learns one, the factor exp(-s) that its loss has now."""
        if self.log_variances is None:
            return {}
        factors = torch.exp(-self.log_variances.detach()).tolist()
        return {task: round(factor, 4) for task, factor in zip(self._learned, factors, strict=True)}
