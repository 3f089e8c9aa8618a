"""What a competent tutorial writes for a table of images and titles: the rival of benchmarks.training_time.

Every JPEG is decoded in every epoch by the workers of a DataLoader, and everything is fine-tuned:
EfficientNet-Lite0 with the same pretrained weights, a bidirectional GRU, the two concatenated, a linear layer for
each head, AdamW, and one cycle of the rate.

# n rows, H heads, C classes"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from models.config import ImageEncoder as ImageConfig
from models.nets.encoders.image import ImageEncoder
from training.data.pairs import UNLABELLED, Pairs
from training.pretrained import PACKAGED, load_backbone

BATCH, WORKERS = 32, 2
NEW_RATE, BACKBONE_RATE = 1e-3, 3e-4
EMBEDDING, HIDDEN = 128, 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Item = tuple[Tensor, Tensor, Tensor]


class Photos(Dataset[Item]):
    """Rows of a manifest; a file is read and decoded whenever its row is asked for."""

    def __init__(
        self, pairs: Pairs, rows: Sequence[int], ids: Sequence[Tensor], labels_NH: NDArray[np.int64], side_px: int
    ) -> None:
        self._pairs, self._rows, self._ids, self._labels_NH = pairs, rows, ids, torch.from_numpy(labels_NH)
        self._side_px = side_px
        self.training = True

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Item:
        row = self._rows[index]
        path = self._pairs.records[row].image
        assert path is not None
        steps = [
            transforms.Resize((self._side_px, self._side_px)),
            *([transforms.RandomHorizontalFlip()] if self.training else []),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
        with Image.open(path) as image:
            return transforms.Compose(steps)(image.convert("RGB")), self._ids[row], self._labels_NH[row]


def collate(items: Sequence[Item]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, padded ids, their lengths, labels."""
    images, ids, labels = zip(*items, strict=True)
    lengths = torch.tensor([len(part) for part in ids])
    return torch.stack(images), pad_sequence(list(ids), batch_first=True), lengths, torch.stack(labels)


class Plain(nn.Module):
    """Pooled last map and last states of the GRU, side by side, to a linear layer for each head."""

    def __init__(self, vocab_size: int, num_classes: Sequence[int]) -> None:
        super().__init__()
        encoder = ImageEncoder(ImageConfig(backbone=PACKAGED, frozen_blocks=0), 128)
        load_backbone(encoder, PACKAGED, "package")
        self.backbone = nn.Sequential(encoder.stem, encoder.blocks, encoder.head)
        self.embedding = nn.Embedding(vocab_size, EMBEDDING)
        self.text = nn.GRU(EMBEDDING, HIDDEN, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.2)
        with torch.no_grad():
            pooled = self.backbone.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
        width = pooled + 2 * HIDDEN
        self.heads = nn.ModuleList(nn.Linear(width, classes) for classes in num_classes)

    def forward(self, images: Tensor, ids: Tensor, lengths: Tensor) -> list[Tensor]:
        """Logits (n, C) of each head."""
        map_nCHW = self.backbone(images.contiguous(memory_format=torch.channels_last))
        packed = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        _, states_2nH = self.text(packed)
        both = torch.cat([map_nCHW.mean((2, 3)), *states_2nH], dim=1)
        return [head(self.dropout(both)) for head in self.heads]


def train(
    train_set: Photos,
    val_set: Photos,
    vocab_size: int,
    num_classes: Sequence[int],
    epochs: int,
    tell: Callable[[float], None],
) -> None:
    """Fine-tune everything; `tell` is given each epoch's mean accuracy over heads on the validation rows."""
    torch.manual_seed(0)
    model = Plain(vocab_size, num_classes).to(memory_format=torch.channels_last)
    val_set.training = False
    batches = DataLoader(
        train_set,
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        collate_fn=collate,
        persistent_workers=True,
    )
    val_batches = DataLoader(val_set, 64, num_workers=WORKERS, collate_fn=collate, persistent_workers=True)
    pretrained = list(model.backbone.parameters())
    own = {id(parameter) for parameter in pretrained}
    fresh = [parameter for parameter in model.parameters() if id(parameter) not in own]
    optimizer = torch.optim.AdamW([{"params": fresh}, {"params": pretrained}], fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [NEW_RATE, BACKBONE_RATE], total_steps=epochs * len(batches), pct_start=0.1
    )
    for _ in range(epochs):
        model.train()
        for images, ids, lengths, labels_nH in batches:
            logits = model(images, ids, lengths)
            losses = [
                functional.cross_entropy(part, labels_nH[:, head], ignore_index=UNLABELLED)
                for head, part in enumerate(logits)
            ]
            optimizer.zero_grad(set_to_none=True)
            torch.stack(losses).sum().backward()
            optimizer.step()
            rates.step()
        tell(accuracy(model, val_batches))


@torch.no_grad()
def accuracy(model: Plain, batches: DataLoader[Item]) -> float:
    """The mean over heads of the share of labelled rows that are right."""
    model.eval()
    hits: list[list[Tensor]] = [[] for _ in model.heads]
    for images, ids, lengths, labels_nH in batches:
        for head, logits in enumerate(model(images, ids, lengths)):
            known_n = labels_nH[:, head] != UNLABELLED
            hits[head].append((logits.argmax(1) == labels_nH[:, head])[known_n])
    return float(np.mean([float(torch.cat(own).float().mean()) for own in hits]))
