"""What tests run under torchrun: `python -m torch.distributed.run … -m tests.training.optimisation.two_ranks OUT`.

A loss over encoded rows with the negatives of all processes, and of what stays with each; both write its value and
gradient."""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.losses import ContrastiveLoss, single_label_loss
from training.optimisation import distributed

ROWS = np.arange(8)


class Pair(nn.Module):
    """Two linear encoders, a head, and the contrastive scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right, self.head = nn.Linear(5, 4), nn.Linear(3, 4), nn.Linear(4, 2)
        self.unused = nn.Linear(1, 1)
        self.voice = nn.Linear(5, 2)
        self.contrast = ContrastiveLoss()
        self.left_B5, self.right_B3 = torch.randn(8, 5), torch.randn(8, 3)
        # Only the first half has labels and only the second half a right side, so the shares are unlike.
        self.labels_B1 = torch.tensor([0, 1, 1, -1, -1, -1, -1, -1])[:, None]
        # Three of the first share are known and one of the second; then two of the second alone.
        self.said_2B = torch.tensor([[0, 1, 1, -1, 0, -1, -1, -1], [-1, -1, -1, -1, 1, 1, -1, -1]])

    def loss(self, rows: np.ndarray) -> Tensor:
        own = distributed.share(rows)
        left_n4 = nn.functional.normalize(self.left(self.left_B5[own]))
        right_n4 = torch.zeros(len(own), 4)
        has_n = torch.from_numpy(own >= 4)
        if has_n.any():
            right_n4 = right_n4.index_put((has_n,), self.right(self.right_B3[own][has_n]))
        left_B4, right_B4 = distributed.gather(torch.stack([left_n4, right_n4], 1)).unbind(1)
        heads = single_label_loss(self.head(left_B4), self.labels_B1[rows, 0], 0.1)
        contrast = self.contrast(left_B4, right_B4, torch.zeros(len(rows), len(rows), dtype=torch.bool))
        aside = self.aside(own, 0) + 2 * self.aside(own, 1)
        return contrast + aside if heads is None else heads + contrast + aside

    def aside(self, own: np.ndarray, which: int) -> Tensor:
        """A mean over the known rows, whose logits never leave their process."""
        said_n = self.said_2B[which, own]
        known_n = said_n >= 0
        if not known_n.any():
            return distributed.mean(torch.zeros(()), 0)
        found = nn.functional.cross_entropy(self.voice(self.left_B5[own])[known_n], said_n[known_n])
        return distributed.mean(found, int(known_n.sum()))


def gradients() -> dict[str, Tensor]:
    """The loss of the whole batch, and the gradient that it leaves in this process, by parameter."""
    pair = Pair()
    parallel = distributed.parallel(pair, pair.loss)
    loss = parallel(ROWS)
    loss.backward()
    return {"loss": loss.detach()} | {
        name: value.grad for name, value in pair.named_parameters() if value.grad is not None
    }


if __name__ == "__main__":
    with distributed.session():
        found = gradients() | {"agreed": torch.tensor(distributed.agree(distributed.rank() + 5))}
        save_file(found, Path(sys.argv[1]) / f"{distributed.rank()}.safetensors")
