"""Subword ids to a vector: a bidirectional GRU beside a bag of subwords.

# n rows, T tokens, W subword embedding, H hidden"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.config import TextEncoder as TextEncoderConfig


class TextEncoder(nn.Module):
    """Embeds subwords, reads them both ways, pools by mean and maximum, and projects to `width`."""

    def __init__(self, config: TextEncoderConfig, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.gru = nn.GRU(config.embedding, config.hidden, batch_first=True, bidirectional=True)
        self.project = nn.Sequential(
            nn.Linear(4 * config.hidden + config.embedding, width), nn.ReLU(), nn.Dropout(config.dropout)
        )

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """(n, T) int64 ids padded on the right, (n,) int64 lengths → (n, D).

        Lengths go into the recurrence itself: a backward pass that began in the padding would make an item's
        vector depend on its neighbours in the batch.
        """
        words_nTW = self.dropout(self.embedding(ids))
        packed = pack_padded_sequence(words_nTW, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states_nTH, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=ids.shape[1])
        valid_nT1 = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None])[:, :, None]
        count_n1 = lengths[:, None].to(words_nTW.dtype)
        mean_nH = (states_nTH * valid_nT1).sum(1) / count_n1
        max_nH = states_nTH.masked_fill(~valid_nT1, -1.0).amax(1)  # a GRU's states lie in [-1, 1]
        bag_nW = (words_nTW * valid_nT1).sum(1) / count_n1
        projected: Tensor = self.project(torch.cat([mean_nH, max_nH, bag_nW], dim=1))
        return projected
