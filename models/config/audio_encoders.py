"""The encoders of recordings that there are, by kind: log-mel features in, a vector and frames out."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from models.config.base import Config, kind_or


class ConvRecurrentAudioEncoder(Config):
    """Convolutions over time and bands, then a bidirectional recurrent network; pooled by mean and maximum."""

    kind: Literal["cnn_gru"] = "cnn_gru"
    num_mels: int = Field(64, ge=8, le=256, description="As preprocessing has it; training fills it in.")
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (32, 64), min_length=1, max_length=4, description="Of each convolution; each halves the bands."
    )
    subsampling: Literal[1, 2, 4] = Field(2, description="Features that one frame stands for.")
    hidden: int = Field(128, ge=1, description="Of each direction.")
    layers: int = Field(2, ge=1, le=6)
    dropout: float = Field(0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _convolutions_thin_out_time(self) -> Self:
        check_subsampling(self.subsampling, len(self.channels))
        return self


class ConformerAudioEncoder(Config):
    """Attention and convolution in turn (Gulati et al. 2020, Conformer), after convolutions that thin out time."""

    kind: Literal["conformer"]
    num_mels: int = Field(64, ge=8, le=256, description="As preprocessing has it; training fills it in.")
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (32, 64), min_length=1, max_length=4, description="Of each convolution; each halves the bands."
    )
    subsampling: Literal[1, 2, 4] = Field(2, description="Features that one frame stands for.")
    hidden: int = Field(96, ge=2, description="Width of a frame; a multiple of twice the heads.")
    layers: int = Field(3, ge=1, le=24)
    heads: int = Field(4, ge=1)
    kernel: int = Field(15, ge=3, le=63, description="Frames that a convolution sees; odd.")
    reach: int = Field(128, ge=1, le=4096, description="Frames before and after it that a frame attends to.")
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        if self.hidden // self.heads % 2:
            raise ValueError(
                f"hidden / heads ({self.hidden // self.heads}) must be even: a head's halves are turned"
            )
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd, so that a frame is its middle")
        check_subsampling(self.subsampling, len(self.channels))
        return self


class SpeechEmbeddingAudioEncoder(Config):
    """Google's network that tells spoken phrases apart (Lin et al. 2020), as it came, under small layers.

    It takes what `preprocessing.audio` has with `bands = "speech_embedding"`.
    """

    kind: Literal["speech_embedding"]
    num_mels: int = Field(32, ge=32, le=32, description="As preprocessing has it; training fills it in.")
    subsampling: Literal[4] = Field(4, description="Features that one frame stands for.")
    hidden: int = Field(96, ge=1, description="Half the width of a frame, and of what the vector passes.")
    layers: int = Field(
        0, ge=0, le=6, description="Of a recurrent network over the frames. 0: each, of 0.76 s, is read by itself."
    )
    dropout: float = Field(0.3, ge=0, lt=1)


def check_subsampling(subsampling: int, num_convolutions: int) -> None:
    """Raise a ValueError where there are too few convolutions, each of which can halve time once."""
    if subsampling > 2**num_convolutions:
        raise ValueError(f"subsampling ({subsampling}) needs more channels: each convolution can halve time once")


AudioEncoder = Annotated[
    Annotated[ConvRecurrentAudioEncoder, Tag("cnn_gru")]
    | Annotated[ConformerAudioEncoder, Tag("conformer")]
    | Annotated[SpeechEmbeddingAudioEncoder, Tag("speech_embedding")],
    Discriminator(
        kind_or("cnn_gru"),
        custom_error_type="audio_encoder",
        custom_error_message="kind must be one of cnn_gru, conformer, speech_embedding",
    ),
]
"""An encoder of recordings by its `kind`, which is cnn_gru where none is named."""
