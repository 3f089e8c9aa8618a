"""What a network is made of and how its inputs are prepared: the part of a checkpoint that a person can read.

Every class is frozen and refuses unknown keys, naming the nearest known one. The same objects build the
network (`models.nets.network`), prepare its inputs (`models.preprocess`) and are stored in `config.json`.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from models.errors import ConfigError

MODALITIES = ("image", "text")
"""Every modality there is, in the order of the M axis of a batch."""


class Config(BaseModel):
    """Base of all configuration: frozen, strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Validate `values`, read from `where` (a file's name, for the message).

        Raises:
            ConfigError: naming each faulty key, and for an unknown one the nearest known name.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [_explain(cls, dict(fault)) for fault in error.errors()]
            raise ConfigError(f"{where} is not valid: " + "; ".join(lines)) from None


def _explain(cls: type[BaseModel], fault: dict[str, Any]) -> str:
    path = [str(part) for part in fault["loc"] if part not in _TEXT_KINDS]
    where = ".".join(path)
    if fault["type"] != "extra_forbidden":
        return f"{where}: {fault['msg']}"
    near = difflib.get_close_matches(path[-1], _known_names(cls, path[:-1]), n=1)
    return f"{where}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "; remove it")


def _known_names(cls: type[BaseModel], path: list[str]) -> list[str]:
    """Field names of the class that `path` leads to, or of every class where a table of free names is crossed."""
    schema = cls.model_json_schema()
    definitions: dict[str, Any] = schema.get("$defs", {})
    if not path:
        return list(schema.get("properties", {}))
    return [name for part in definitions.values() for name in part.get("properties", {})]


class ImagePreprocessing(Config):
    """How a decoded image becomes the network's pixels."""

    side_px: int = Field(224, ge=16, le=1024)
    resize: Literal["squash", "pad", "crop"] = "squash"


class TextPreprocessing(Config):
    """How a text becomes token ids; normalisation and subwords are in the checkpoint's `tokenizer.json`."""

    max_tokens: int = Field(32, ge=1, le=512)


class Preprocessing(Config):
    """One entry for each modality that the network knows."""

    image: ImagePreprocessing | None = None
    text: TextPreprocessing | None = None


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


_TEXT_KINDS = ("recurrent", "cnn", "transformer", "minilm")


def _kind(value: object) -> str:
    kind = value.get("kind", "gru") if isinstance(value, Mapping) else getattr(value, "kind", "gru")
    return "recurrent" if kind in ("gru", "lstm", "rnn") else str(kind)


TextEncoder = Annotated[
    Annotated[RecurrentTextEncoder, Tag("recurrent")]
    | Annotated[ConvolutionalTextEncoder, Tag("cnn")]
    | Annotated[TransformerTextEncoder, Tag("transformer")]
    | Annotated[MiniLmTextEncoder, Tag("minilm")],
    Discriminator(
        _kind,
        custom_error_type="text_encoder",
        custom_error_message="kind must be one of gru, lstm, rnn, cnn, transformer, minilm",
    ),
]
"""A text encoder by its `kind`, which is gru where none is named."""

FusionName = Literal["add", "multiply", "concat", "dot_attention", "cross_attention", "gated", "conv", "bilinear"]


class ClassificationHead(Config):
    """Scores over a fixed list of labels: softmax, or one sigmoid each where several may hold."""

    kind: Literal["classification"] = "classification"
    labels: tuple[str, ...] = Field(min_length=2)
    multi_label: bool = False


class RegressionHead(Config):
    """One number, learnt in deviations of the training rows; with its uncertainty where that is asked for."""

    kind: Literal["regression"] = "regression"
    mean: float = Field(0.0, description="Of the training rows; training fills it in.")
    std: float = Field(1.0, gt=0, description="Of the training rows; training fills it in.")
    unit: str | None = Field(None, min_length=1, description="For people: EUR, cm.")
    uncertainty: bool = Field(
        False, description="Predict a standard deviation with each number (Gaussian likelihood)."
    )


class EmbeddingHead(Config):
    """A unit-norm vector in the space that every modality and their fusion share."""

    kind: Literal["embedding"] = "embedding"
    dimensions: int = Field(128, ge=2)


class NetworkConfig(Config):
    """Encoders, fusion and heads. A modality without an encoder is unknown to the network."""

    image: ImageEncoder | None = None
    text: TextEncoder | None = None
    width: int = Field(256, ge=1, description="D: width of each encoder's vector and of the fused vector.")
    fusion: FusionName = "gated"
    fusion_linear: bool = Field(False, description="A linear layer D to D between the fusion and the heads.")
    fusion_dropout: float = Field(0.2, ge=0, lt=1)
    classes: dict[str, Annotated[ClassificationHead, Field()]] = Field(default_factory=dict)
    targets: dict[str, RegressionHead] = Field(default_factory=dict, description="Heads that give a number.")
    embedding: EmbeddingHead = EmbeddingHead()

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the network knows, in the order of its M axis."""
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)

    @property
    def single_label_heads(self) -> tuple[str, ...]:
        """The classification heads of which exactly one label holds."""
        return tuple(name for name, head in self.classes.items() if not head.multi_label)

    @property
    def uses_tokens(self) -> bool:
        """Whether something looks at an encoder's tokens, beside its vector."""
        return self.fusion == "cross_attention"

    @model_validator(mode="after")
    def _knows_a_modality(self) -> Self:
        if not self.modalities:
            raise ValueError(f"a network needs an encoder for at least one of: {', '.join(MODALITIES)}")
        return self

    @classmethod
    def tiny(cls) -> Self:
        """A network of the same shape that builds and runs in milliseconds, for tests."""
        return cls(
            image=ImageEncoder(backbone="test_efficientnet", colour_bins=3, hidden=16, frozen_blocks=1),
            text=RecurrentTextEncoder(vocab_size=64, embedding=8, hidden=8),
            width=16,
            classes={
                "shape": ClassificationHead(labels=("circle", "square", "star")),
                "colour": ClassificationHead(labels=("blue", "red")),
            },
            embedding=EmbeddingHead(dimensions=8),
        )
