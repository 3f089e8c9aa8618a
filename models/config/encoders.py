"""The encoders of images and texts that there are, by modality and kind."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from models.config.base import Config, kind_or


class ImageEncoder(Config):
    """A convolutional backbone, pooled after every block (whole map and centre), and a colour histogram."""

    backbone: str = Field(
        "tf_efficientnet_lite0", description="timm's name, torchvision/<name>, or small_cnn (untrained)."
    )
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    frozen_blocks: int = Field(
        4, ge=0, description="Leading blocks whose weights stay as pretrained; 0 trains from the pixels on."
    )
    grid: int = Field(
        0,
        ge=0,
        le=16,
        description="Cells a side in which the last block's map is pooled too, each with features of its own: for "
        "images in which it matters where something is. It must divide the map's side; 0 = none.",
    )
    colour_bins: int = Field(6, ge=0, le=12, description="Bins per channel of the joint histogram; 0 = none.")
    hidden: int = Field(384, ge=0, description="Width of the layer between the pooled features and D; 0 = none.")
    shortcut: bool = Field(False, description="Also a linear layer from the pooled features to D.")
    dropout: float = Field(0.3, ge=0, lt=1)

    @field_validator("colour_bins")
    @classmethod
    def _a_histogram_needs_two_bins(cls, value: int) -> int:
        if value == 1:
            raise ValueError("must be 0 for no histogram, or 2 to 12")
        return value


class RecurrentTextEncoder(Config):
    """A bidirectional recurrent network over subwords, pooled by mean and maximum."""

    kind: Literal["gru", "lstm", "rnn"] = "gru"
    vocab_size: int = Field(4000, ge=8)
    embedding: int = Field(128, ge=1)
    hidden: int = Field(192, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)


class ConvolutionalTextEncoder(Config):
    """Convolutions of several widths over subwords, pooled by maximum."""

    kind: Literal["cnn"]
    vocab_size: int = Field(4000, ge=8)
    embedding: int = Field(128, ge=1)
    hidden: int = Field(128, ge=1, description="Channels of each width.")
    widths: tuple[Annotated[int, Field(ge=1, le=15)], ...] = Field((1, 2, 3, 5), min_length=1)
    dropout: float = Field(0.3, ge=0, lt=1)


class TransformerTextEncoder(Config):
    """BERT's encoder over subwords; some of its layers are pooled by mean."""

    kind: Literal["transformer"]
    vocab_size: int = Field(4000, ge=8)
    hidden: int = Field(256, ge=2)
    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    feedforward: int = Field(512, ge=1)
    max_tokens: int = Field(512, ge=1, description="Longest sequence that positions are kept for.")
    frozen_layers: int = Field(0, ge=0, description="Leading layers that stay as pretrained, embeddings included.")
    pool_every: int = Field(0, ge=0, description="Pool every so many layers, and the last; 0 only the last.")
    projection: int = Field(0, ge=0, description="Width of a layer between what is pooled and D; 0 = none.")
    shortcut: bool = Field(False, description="Also a linear layer from what is pooled to D.")
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        if self.frozen_layers > self.layers:
            raise ValueError(f"frozen_layers ({self.frozen_layers}) are more than layers ({self.layers})")
        return self


class MiniLmTextEncoder(Config):
    """all-MiniLM-L6-v2: a pretrained transformer with subwords of its own (Wang et al. 2020, MiniLM)."""

    kind: Literal["minilm"]
    frozen_layers: int = Field(6, ge=0, le=6, description="Leading layers that stay as pretrained.")
    pool_every: int = Field(0, ge=0, description="Pool every so many layers, and the last; 0 only the last.")
    projection: int = Field(0, ge=0, description="Width of a layer between what is pooled and D; 0 = none.")
    shortcut: bool = Field(False, description="Also a linear layer from what is pooled to D.")
    dropout: float = Field(0.1, ge=0, lt=1)

    def as_transformer(self) -> TransformerTextEncoder:
        """The transformer that it is."""
        return TransformerTextEncoder(
            kind="transformer",
            vocab_size=30522,
            hidden=384,
            layers=6,
            heads=12,
            feedforward=1536,
            max_tokens=512,
            frozen_layers=self.frozen_layers,
            pool_every=self.pool_every,
            projection=self.projection,
            shortcut=self.shortcut,
            dropout=self.dropout,
        )


def _family(value: object) -> str:
    kind = kind_or("gru")(value)
    return "recurrent" if kind in ("gru", "lstm", "rnn") else kind


TextEncoder = Annotated[
    Annotated[RecurrentTextEncoder, Tag("recurrent")]
    | Annotated[ConvolutionalTextEncoder, Tag("cnn")]
    | Annotated[TransformerTextEncoder, Tag("transformer")]
    | Annotated[MiniLmTextEncoder, Tag("minilm")],
    Discriminator(
        _family,
        custom_error_type="text_encoder",
        custom_error_message="kind must be one of gru, lstm, rnn, cnn, transformer, minilm",
    ),
]
"""A text encoder by its `kind`, which is gru where none is named."""
