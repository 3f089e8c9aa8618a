"""The whole network: encoders, fusion and heads, built from its config.

# B batch, M modalities, D width, C classes, E embedding dimensions, n rows that have a modality"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.batch import Batch
from models.config import NetworkConfig
from models.nets.encoders.image import ImageEncoder
from models.nets.encoders.text import TextEncoder
from models.nets.fusion import build_fusion
from models.nets.heads import ClassificationHead, EmbeddingHead


class Outputs(NamedTuple):
    """Logits (B, C) by head, and unit-norm embeddings (B, E)."""

    logits: dict[str, Tensor]
    embedding_BE: Tensor


class Network(nn.Module):
    """`encode` each modality, then `fuse` what is present: the two graphs that engines run."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = config.modalities
        self.encoders = nn.ModuleDict()
        if config.image is not None:
            self.encoders["image"] = ImageEncoder(config.image, config.width)
        if config.text is not None:
            self.encoders["text"] = TextEncoder(config.text, config.width)
        # One scale for all modalities, or the fusion would follow whichever encoder shouts loudest.
        self.norms = nn.ModuleDict({name: nn.LayerNorm(config.width) for name in self.modalities})
        self.fusion = build_fusion(config.fusion, len(self.modalities), config.width)
        self.dropout = nn.Dropout(config.fusion_dropout)
        self.heads = nn.ModuleDict(
            {name: ClassificationHead(head, config.width) for name, head in config.classes.items()}
        )
        self.embedding = EmbeddingHead(config.width, config.embedding.dimensions)

    def encode(self, modality: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """A modality's encoder inputs → (n, D)."""
        vectors: Tensor = self.norms[modality](self.encoders[modality](**inputs))
        return vectors

    def fuse(self, vectors_BMD: Tensor, present_BM: Tensor) -> Outputs:
        """(B, M, D) and bool (B, M) → every head; the contents of absent modalities do not matter."""
        fused_BD = self.dropout(self.fusion(vectors_BMD, present_BM))
        return Outputs({name: head(fused_BD) for name, head in self.heads.items()}, self.embedding(fused_BD))

    def scatter(self, batch: Batch, vectors: Mapping[str, Tensor]) -> Tensor:
        """Each modality's rows (n, D) → (B, M, D), zeros where absent."""
        some = next(iter(vectors.values()))
        vectors_BMD = some.new_zeros(len(batch), len(self.modalities), self.config.width)
        for column, modality in enumerate(self.modalities):
            if modality in vectors:
                rows = torch.from_numpy(batch.rows(modality)).to(some.device)
                vectors_BMD[rows, column] = vectors[modality].to(some.dtype)
        return vectors_BMD
