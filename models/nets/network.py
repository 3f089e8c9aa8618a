"""The whole network: encoders, fusion and heads, built from its config.

# B batch, M modalities, D width, C classes, E embedding dimensions, n rows that have a modality,
# T tokens of one modality, W width of a token, V tokens of a transcript"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.config import NetworkConfig
from models.nets.caption import CaptionDecoder
from models.nets.encoders import Encoded, Encoder
from models.nets.encoders.audio import build_audio_encoder
from models.nets.encoders.image import ImageEncoder
from models.nets.encoders.sensors import build_sensor_encoder
from models.nets.encoders.text import build_text_encoder
from models.nets.fusion import Tokens, build_fusion
from models.nets.heads import EmbeddingHead, HeadOutputs, build_heads, run_heads


class Outputs(NamedTuple):
    """What each head says, and unit-norm embeddings (B, E)."""

    heads: HeadOutputs
    embedding_BE: Tensor

    @property
    def logits(self) -> dict[str, Tensor]:
        """Logits (B, C) by classification head."""
        return self.heads.logits


class EncodedBatch(NamedTuple):
    """A batch after its encoders.

    vectors_BMD: zeros where a modality is absent.
    tokens: None where the fusion looks at none.
    details: by modality that a caption looks at, its tokens (B, T, W) and which of them there are (B, T).
    """

    vectors_BMD: Tensor
    tokens: Tokens | None = None
    details: Mapping[str, tuple[Tensor, Tensor]] = MappingProxyType({})

    def take(self, rows: Tensor) -> "EncodedBatch":
        """Some rows of the batch, by index or mask (B,)."""
        tokens = self.tokens
        if tokens is not None:
            tokens = Tokens(*(part[rows] for part in tokens))
        details = {name: (values[rows], valid[rows]) for name, (values, valid) in self.details.items()}
        return EncodedBatch(self.vectors_BMD[rows], tokens, details)


BUILDERS: Mapping[str, Callable[[Any, int], Encoder]] = {
    "image": ImageEncoder,
    "text": build_text_encoder,
    "audio": build_audio_encoder,
    "sensors": build_sensor_encoder,
}
"""By modality: its encoder's config and the width → the encoder."""


class Network(nn.Module):
    """`encode` each modality, then `fuse` what is present; `frames` are read off a recording's encoder alone."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = config.modalities
        encoders = {name: BUILDERS[name](getattr(config, name), config.width) for name in self.modalities}
        self.encoders = nn.ModuleDict(encoders)
        # One scale for all modalities, or the fusion would follow whichever encoder shouts loudest.
        self.norms = nn.ModuleDict({name: nn.LayerNorm(config.width) for name in self.modalities})
        self.token_layers = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(encoder.token_width, config.width), nn.LayerNorm(config.width))
                for name, encoder in encoders.items()
                if config.uses_tokens
            }
        )
        self.fusion = build_fusion(config.fusion, len(self.modalities), config.width)
        # The method's "attention": a layer without a bend, kept apart from the heads that follow it.
        self.linear = nn.Linear(config.width, config.width) if config.fusion_linear else nn.Identity()
        self.dropout = nn.Dropout(config.fusion_dropout)
        self.heads, self.targets = build_heads(config)
        self.embedding = EmbeddingHead(config.width, config.embedding.dimensions)
        self.transcript: nn.Linear | None = None
        if config.transcript is not None:
            if not config.transcript.tokens:
                raise ValueError("transcript.tokens: must be filled in before the network is built")
            self.transcript = nn.Linear(encoders["audio"].token_width, len(config.transcript.tokens))
        self.caption: CaptionDecoder | None = None
        if config.caption is not None:
            for name in config.caption.reads:
                encoders[name].keep_details()
            widths: dict[str, int] = {name: encoders[name].details_width for name in config.caption.reads}
            self.caption = CaptionDecoder(config.caption, widths)

    def encode(self, modality: str, inputs: Mapping[str, Tensor]) -> Encoded:
        """A modality's encoder inputs → a vector (n, D), and tokens (n, T, D) where the fusion looks at them."""
        return self.normalise(modality, self.encoders[modality](**inputs))

    def normalise(self, modality: str, encoded: Encoded) -> Encoded:
        """Bring what an encoder gave to the scale, and its tokens to the width, that all modalities share."""
        vector_nD = self.norms[modality](encoded.vector_nD)
        if not self.config.uses_tokens or encoded.tokens_nTW is None:
            return Encoded(vector_nD)
        return Encoded(vector_nD, self.token_layers[modality](encoded.tokens_nTW), encoded.valid_nT)

    def details(self, encoded: Mapping[str, Encoded]) -> dict[str, tuple[Tensor, Tensor]]:
        """Of what encoders gave, before `normalise`: the tokens that a caption looks at, by modality."""
        reads = () if self.config.caption is None else self.config.caption.reads
        found: dict[str, Encoded] = {name: encoded[name] for name in reads if name in encoded}
        details: dict[str, tuple[Tensor, Tensor]] = {
            name: (values_nTW, part.valid_nT)
            for name, part in found.items()
            if (values_nTW := part.tokens_nTW if part.details_nTW is None else part.details_nTW) is not None
            and part.valid_nT is not None
        }
        return details

    def spread(
        self, details: Mapping[str, tuple[Tensor, Tensor]], rows: Mapping[str, Tensor], count: int
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Each modality's rows to their places in a batch of `count`, for `CaptionDecoder.remember`."""
        if self.caption is None:
            return {}
        like = self.caption.nothing
        spread: dict[str, tuple[Tensor, Tensor]] = {}
        for name in self.caption.config.reads:
            if name not in details:
                # One token that is not there, as `models.engine.scatter` has it.
                blank = like.new_zeros(count, 1, self.caption.width_of(name))
                spread[name] = blank, torch.zeros_like(blank[:, :, 0], dtype=torch.bool)
                continue
            values_nTW, valid_nT = details[name]
            where = (rows[name],)
            blank = values_nTW.new_zeros(count, *values_nTW.shape[1:])
            valid = valid_nT.new_zeros(count, valid_nT.shape[1])
            spread[name] = blank.index_put(where, values_nTW), valid.index_put(where, valid_nT)
        return spread

    def frames(self, encoded: Encoded) -> Tensor:
        """What the audio encoder gave, before `normalise` → log-probabilities of tokens (n, T, V).

        Those of frames in the padding mean nothing.

        Raises:
            ValueError: the network has no transcript, or the encoder gave no tokens.
        """
        if self.transcript is None or encoded.tokens_nTW is None:
            raise ValueError("frames need a network with a transcript, and an encoder's tokens")
        logits_nTV: Tensor = self.transcript(encoded.tokens_nTW)
        # Under autocast too: half precision holds no small probability beside a blank's.
        return logits_nTV.float().log_softmax(2)

    def fuse(self, encoded: EncodedBatch, present_BM: Tensor) -> Outputs:
        """Encoded inputs and bool (B, M) → every head; the contents of absent modalities do not matter."""
        tokens = () if encoded.tokens is None else (encoded.tokens,)
        fused_BD = self.dropout(self.linear(self.fusion(encoded.vectors_BMD, present_BM, *tokens)))
        return Outputs(run_heads(self.heads, self.targets, fused_BD), self.embedding(fused_BD))

    def gather(self, encoded: Mapping[str, Encoded], present_BM: Tensor) -> EncodedBatch:
        """`scatter`, to the rows that have the modality. Asks a card which those are, and so waits for it."""
        rows = {name: present_BM[:, place].nonzero()[:, 0] for place, name in enumerate(self.modalities)}
        return self.scatter(encoded, rows, len(present_BM))

    def scatter(self, encoded: Mapping[str, Encoded], rows: Mapping[str, Tensor], count: int) -> EncodedBatch:
        """Each modality's rows (n, …) to their places, int64 (n,), in a batch of `count`; zeros elsewhere."""
        # An item may have nothing but the beginning of a text.
        some = next((part.vector_nD for part in encoded.values()), self.embedding.weight)
        blank_BD = some.new_zeros(count, self.config.width)
        vectors, tokens = [], []
        for place, modality in enumerate(self.modalities):
            found = encoded.get(modality)
            if found is None:
                vectors.append(blank_BD)
                continue
            where = (rows[modality],)
            vectors.append(blank_BD.index_put(where, found.vector_nD.to(some.dtype)))
            if found.tokens_nTW is not None and found.valid_nT is not None:
                length = found.tokens_nTW.shape[1]
                values_BTD = (
                    blank_BD[:, None].repeat(1, length, 1).index_put(where, found.tokens_nTW.to(some.dtype))
                )
                valid_BT = found.valid_nT.new_zeros(count, length).index_put(where, found.valid_nT)
                tokens.append(Tokens(values_BTD, valid_BT, torch.full_like(valid_BT, place, dtype=torch.int64)))
        return EncodedBatch(torch.stack(vectors, dim=1), join_tokens(tokens))


def join_tokens(parts: list[Tokens]) -> Tokens | None:
    """The tokens of several modalities side by side; None for no parts."""
    if not parts:
        return None
    return Tokens(*(torch.cat(same, dim=1) for same in zip(*parts, strict=True)))
