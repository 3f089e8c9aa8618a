"""A whole network: its encoders, their fusion, and its heads."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.config.audio_encoders import AudioEncoder, ConvRecurrentAudioEncoder
from models.config.base import Config
from models.config.encoders import ImageEncoder, RecurrentTextEncoder, TextEncoder
from models.config.heads import (
    WORD_START,
    CaptionHead,
    ClassificationHead,
    CtcHead,
    EmbeddingHead,
    RegressionHead,
)
from models.config.sensor_encoders import MlpSensorEncoder, SensorEncoder

MODALITIES = ("image", "text", "audio", "sensors")
"""Every modality there is, in the order of the M axis of a batch."""

FusionName = Literal["add", "multiply", "concat", "dot_attention", "cross_attention", "gated", "conv", "bilinear"]


class NetworkConfig(Config):
    """Encoders, fusion and heads. A modality without an encoder is unknown to the network."""

    image: ImageEncoder | None = None
    text: TextEncoder | None = None
    audio: AudioEncoder | None = None
    sensors: SensorEncoder | None = None
    width: int = Field(256, ge=1, description="D: width of each encoder's vector and of the fused vector.")
    fusion: FusionName = "gated"
    fusion_linear: bool = Field(False, description="A linear layer D to D between the fusion and the heads.")
    fusion_dropout: float = Field(0.2, ge=0, lt=1)
    classes: dict[str, Annotated[ClassificationHead, Field()]] = Field(default_factory=dict)
    targets: dict[str, RegressionHead] = Field(default_factory=dict, description="Heads that give a number.")
    embedding: EmbeddingHead = EmbeddingHead()
    transcript: CtcHead | None = Field(None, description="What is said in a recording, read off its frames.")
    caption: CaptionHead | None = Field(None, description="A text about the item, written while looking at it.")

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
        if self.transcript is not None and self.audio is None:
            raise ValueError("transcript: needs an encoder of audio")
        for name in () if self.caption is None else self.caption.reads:
            if name not in self.modalities:
                raise ValueError(f"caption.reads: there is no encoder of {name}")
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

    @classmethod
    def tiny_audio(cls) -> Self:
        """`tiny` with recordings, and transcripts of the characters a and b, and of the space between words."""
        return cls(
            **{name: getattr(cls.tiny(), name) for name in ("image", "text", "width", "classes", "embedding")},
            audio=ConvRecurrentAudioEncoder(num_mels=16, channels=(4,), hidden=8, layers=1),
            transcript=CtcHead(tokens=("", WORD_START, "a", "b")),
        )

    @classmethod
    def tiny_sensors(cls) -> Self:
        """`tiny_audio` with sensors of three channels, and two numbers of which one has an uncertainty."""
        parts = ("image", "text", "audio", "width", "classes", "embedding", "transcript")
        return cls(
            **{name: getattr(cls.tiny_audio(), name) for name in parts},
            sensors=MlpSensorEncoder(num_channels=3, hidden=8, layers=1),
            targets={"steer": RegressionHead(uncertainty=True), "speed": RegressionHead()},
        )

    @classmethod
    def tiny_caption(cls, **changes: object) -> Self:
        """`tiny` that writes; `changes` are of the caption's head."""
        head = {"hidden": 16, "layers": 2, "heads": 2, "feedforward": 16, "max_tokens": 12, "tokens": range(2, 20)}
        return cls(
            **{name: getattr(cls.tiny(), name) for name in ("image", "text", "width", "classes", "embedding")},
            caption=CaptionHead.model_validate({**head, **changes}),
        )
