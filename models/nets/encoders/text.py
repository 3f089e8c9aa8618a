"""Subword ids to a vector, and to a token for each subword. One class for each kind of encoder in the config.

# n rows, T tokens, W width of a subword's embedding, H hidden, D width"""

from collections.abc import Iterable
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models import config as configs
from models.nets.encoders import OUTLIER, Encoded, Encoder, Projection, join_features, masked_mean, valid_tokens

_BERT_EPSILON = 1e-12


class TextLower(NamedTuple):
    """What the frozen part gives; training caches it where there is such a part.

    states_nTW: a transformer's states after its last frozen layer; elsewhere, the ids (n, T).
    lengths_n: int64, without the padding.
    pooled_nP: what frozen layers were pooled to; P may be 0.
    """

    states_nTW: Tensor
    lengths_n: Tensor
    pooled_nP: Tensor


class TextEncoder(Encoder):
    """The interface, and what all kinds share."""

    frozen_layers = 0
    """Leading layers that never change; 0 means that `lower` does nothing."""

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """(n, T) int64 ids padded on the right, (n,) int64 lengths → a vector, and a token for each subword."""
        return self.upper(self.lower(ids, lengths))

    def lower(self, ids: Tensor, lengths: Tensor) -> TextLower:
        """Run the frozen part."""
        return TextLower(ids, lengths, join_features((), ids))


class RecurrentTextEncoder(TextEncoder):
    """Embeds subwords, reads them both ways, pools by mean and maximum, and projects to `width`."""

    def __init__(self, config: configs.RecurrentTextEncoder, width: int) -> None:
        super().__init__()
        network = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}[config.kind]
        self.embedding = nn.Embedding(config.vocab_size, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        recurrent = network(config.embedding, config.hidden, batch_first=True, bidirectional=True)
        # `gru` is what weights of the first checkpoints are called.
        self._name = config.kind
        self.add_module(config.kind, recurrent)
        self.project = nn.Sequential(
            nn.Linear(4 * config.hidden + config.embedding, width), nn.ReLU(), nn.Dropout(config.dropout)
        )
        self.token_width = 2 * config.hidden

    def upper(self, lower: TextLower) -> Encoded:
        """See the interface.

        Lengths go into the recurrence itself: a backward pass that began in the padding would make an item's
        vector depend on its neighbours in the batch.
        """
        ids_nT, lengths_n, _ = lower
        words_nTW = self.dropout(self.embedding(ids_nT))
        packed = pack_padded_sequence(words_nTW, lengths_n.cpu(), batch_first=True, enforce_sorted=False)
        states_nTH, _ = pad_packed_sequence(
            self.get_submodule(self._name)(packed)[0], batch_first=True, total_length=ids_nT.shape[1]
        )
        valid_nT = valid_tokens(ids_nT, lengths_n)
        max_nH = states_nTH.masked_fill(~valid_nT[:, :, None], -1.0).amax(1)  # all states lie in [-1, 1]
        pooled = [masked_mean(states_nTH, valid_nT), max_nH, masked_mean(words_nTW, valid_nT)]
        vector_nD = self.project(torch.cat(pooled, dim=1))
        return Encoded(vector_nD, states_nTH, valid_nT)


class ConvolutionalTextEncoder(TextEncoder):
    """Convolutions of several widths, pooled by maximum (Kim 2014, section 2)."""

    def __init__(self, config: configs.ConvolutionalTextEncoder, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.embedding, config.hidden, size, padding=size // 2) for size in config.widths
        )
        channels = config.hidden * len(config.widths)
        self.project = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(channels, width))
        self.token_width = channels

    def upper(self, lower: TextLower) -> Encoded:
        """See the interface. Padding is blanked first, so that it is what a short text ends in anyway."""
        ids_nT, lengths_n, _ = lower
        valid_nT = valid_tokens(ids_nT, lengths_n)
        words_nTW = self.dropout(self.embedding(ids_nT)) * valid_nT[:, :, None]
        maps = [layer(words_nTW.transpose(1, 2)).relu()[:, :, : ids_nT.shape[1]] for layer in self.convolutions]
        states_nTH = torch.cat(maps, dim=1).transpose(1, 2) * valid_nT[:, :, None]
        vector_nD = self.project(states_nTH.amax(1))  # of what a ReLU gave: zero is its least
        return Encoded(vector_nD, states_nTH, valid_nT)


class TransformerTextEncoder(TextEncoder):
    """BERT's encoder (Devlin et al. 2019); layers pooled by mean, and projected to `width`."""

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: configs.TransformerTextEncoder, width: int, *, is_pretrained: bool = False) -> None:
        super().__init__()
        self.frozen_layers = config.frozen_layers
        self.is_pretrained = is_pretrained
        self.embedding = nn.Embedding(config.vocab_size, config.hidden)
        self.positions = nn.Embedding(config.max_tokens, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, eps=_BERT_EPSILON)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(config.hidden, config.heads, config.feedforward, config.dropout)
            for _ in range(config.layers)
        )
        every = config.pool_every or config.layers
        self._pooled = {config.layers - 1, *range(every - 1, config.layers, every)}
        features = config.hidden * len(self._pooled)
        # See standardise().
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_std", torch.ones(features))
        self.project = Projection(features, config.projection, width, config.dropout)
        self.shortcut = Projection(features, 0, width, config.dropout) if config.shortcut else None
        self.token_width = config.hidden

    @property
    def lower_width(self) -> int:
        """P: features that the frozen layers are pooled to."""
        return self.norm.normalized_shape[0] * len([layer for layer in self._pooled if layer < self.frozen_layers])

    def lower(self, ids: Tensor, lengths: Tensor) -> TextLower:
        """Embed, and run the frozen layers; with none frozen, all is left to `upper`."""
        if not self.frozen_layers:
            return TextLower(ids, lengths, join_features((), ids))
        states_nTH, pooled = self._run(self._embed(ids), lengths, 0, self.frozen_layers)
        return TextLower(states_nTH, lengths, join_features(pooled, states_nTH))

    def upper(self, lower: TextLower) -> Encoded:
        """See the interface."""
        features_nF, states_nTH = self._features(lower)
        features_nF = ((features_nF - self.feature_mean) / self.feature_std).clamp(-OUTLIER, OUTLIER)
        vector_nD = self.project(features_nF)
        if self.shortcut is not None:
            vector_nD = vector_nD + self.shortcut(features_nF)
        return Encoded(vector_nD, states_nTH, valid_tokens(states_nTH[:, :, 0], lower.lengths_n))

    @torch.no_grad()
    def standardise(self, lowers: Iterable[TextLower]) -> None:
        """Measure the mean and deviation of every feature on some training texts, a few at a time."""
        features_nF = torch.cat([self._features(lower)[0] for lower in lowers])
        self.feature_mean.copy_(features_nF.mean(0))
        self.feature_std.copy_(features_nF.std(0, correction=0) + 1e-3)

    def _features(self, lower: TextLower) -> tuple[Tensor, Tensor]:
        """Pooled features (n, F) of all layers, and the states of the last."""
        states_nTH = lower.states_nTW if self.frozen_layers else self._embed(lower.states_nTW)
        states_nTH, pooled = self._run(states_nTH, lower.lengths_n, self.frozen_layers, len(self.layers))
        return torch.cat([lower.pooled_nP, *pooled] if self.lower_width else pooled, dim=1), states_nTH

    def pretrained(self) -> list[nn.Parameter]:
        """See the interface."""
        return self._changing() if self.is_pretrained else []

    def fresh(self) -> list[nn.Parameter]:
        """See the interface."""
        shortcut = [] if self.shortcut is None else list(self.shortcut.parameters())
        own = [*self.project.parameters(), *shortcut]
        return own if self.is_pretrained else [*own, *self._changing()]

    def _changing(self) -> list[nn.Parameter]:
        parts: list[nn.Module] = [*self.layers[self.frozen_layers :]]
        if not self.frozen_layers:
            parts = [self.embedding, self.positions, self.norm, *parts]
        return [parameter for part in parts for parameter in part.parameters()]

    def train(self, mode: bool = True) -> Self:
        """As usual, but what never changes drops nothing out either."""
        super().train(mode)
        if self.frozen_layers:
            for part in (self.dropout, *self.layers[: self.frozen_layers]):
                part.eval()
        return self

    def _embed(self, ids_nT: Tensor) -> Tensor:
        places_T = torch.arange(ids_nT.shape[1], device=ids_nT.device)
        embedded_nTH: Tensor = self.dropout(self.norm(self.embedding(ids_nT) + self.positions(places_T)))
        return embedded_nTH

    def _run(self, states_nTH: Tensor, lengths_n: Tensor, first: int, end: int) -> tuple[Tensor, list[Tensor]]:
        """Layers from `first` up to `end`: the states after them, and means (n, H) of those that are pooled."""
        valid_nT = valid_tokens(states_nTH[:, :, 0], lengths_n)
        pooled = []
        for number in range(first, end):
            states_nTH = self.layers[number](states_nTH, valid_nT)
            if number in self._pooled:
                pooled.append(masked_mean(states_nTH, valid_nT))
        return states_nTH, pooled


class TransformerLayer(nn.Module):
    """Attention and two linear layers, each added and then normalised (Vaswani et al. 2017, 3.1; GELU as in BERT).

    Not nn.TransformerEncoderLayer, whose exported graph holds for the batch size that it was traced with alone.
    """

    def __init__(self, hidden: int, num_heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = nn.Dropout(dropout)
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))
        self.attention_norm = nn.LayerNorm(hidden, eps=_BERT_EPSILON)
        self.inner, self.outer = nn.Linear(hidden, feedforward), nn.Linear(feedforward, hidden)
        self.norm = nn.LayerNorm(hidden, eps=_BERT_EPSILON)

    def forward(self, states_nTH: Tensor, valid_nT: Tensor) -> Tensor:
        """(n, T, H), and which tokens may be looked at → (n, T, H)."""
        query, key, value = (self._split(layer(states_nTH)) for layer in (self.query, self.key, self.value))
        heard = functional.scaled_dot_product_attention(query, key, value, attn_mask=valid_nT[:, None, None])
        heard_nTH = self.out(heard.transpose(1, 2).flatten(2))
        states_nTH = self.attention_norm(states_nTH + self.dropout(heard_nTH))
        changed_nTH = self.outer(functional.gelu(self.inner(states_nTH)))
        result_nTH: Tensor = self.norm(states_nTH + self.dropout(changed_nTH))
        return result_nTH

    def _split(self, part_nTH: Tensor) -> Tensor:
        """(n, T, H) → (n, heads, T, H / heads)."""
        count, length, hidden = part_nTH.shape
        return part_nTH.view(count, length, self.num_heads, hidden // self.num_heads).transpose(1, 2)


def build_text_encoder(config: configs.TextEncoder, width: int) -> TextEncoder:
    """The encoder of the config's kind."""
    if isinstance(config, configs.MiniLmTextEncoder):
        return TransformerTextEncoder(config.as_transformer(), width, is_pretrained=True)
    if isinstance(config, configs.TransformerTextEncoder):
        return TransformerTextEncoder(config, width)
    if isinstance(config, configs.ConvolutionalTextEncoder):
        return ConvolutionalTextEncoder(config, width)
    return RecurrentTextEncoder(config, width)
