"""How each modality's decoded inputs become what its encoder takes."""

from typing import Literal, Self

from pydantic import Field, model_validator

from models.config.base import Config


class ImagePreprocessing(Config):
    """How a decoded image becomes the network's pixels."""

    side_px: int = Field(224, ge=16, le=1024)
    resize: Literal["squash", "pad", "crop"] = "squash"


class TextPreprocessing(Config):
    """How a text becomes token ids; normalisation and subwords are in the checkpoint's `tokenizer.json`."""

    max_tokens: int = Field(32, ge=1, le=512)


class AudioPreprocessing(Config):
    """How a recording becomes log-mel features: a spectrum every `hop_ms`, its power in triangular bands."""

    rate_hz: int = Field(16_000, ge=4_000, le=48_000, description="Recordings are resampled to it.")
    num_mels: int = Field(64, ge=8, le=256)
    window_ms: float = Field(25.0, ge=5, le=200)
    hop_ms: float = Field(10.0, ge=2, le=100)
    bands: Literal["htk", "speech_embedding"] = Field(
        "htk",
        description="htk: from 20 Hz to half the rate, on the mel scale of HTK. speech_embedding: 32 from 60 to "
        "3,800 Hz on Slaney's, as the encoder of this kind was trained with.",
    )

    @property
    def window(self) -> int:
        """Samples of a window."""
        return round(self.rate_hz * self.window_ms / 1000)

    @property
    def hop(self) -> int:
        """Samples from one window to the next."""
        return round(self.rate_hz * self.hop_ms / 1000)

    @model_validator(mode="after")
    def _windows_leave_no_gap(self) -> Self:
        if self.hop_ms > self.window_ms:
            raise ValueError(f"hop_ms ({self.hop_ms}) must be at most window_ms ({self.window_ms})")
        return self

    @model_validator(mode="after")
    def _a_pretrained_encoder_knows_its_bands(self) -> Self:
        if self.bands == "speech_embedding" and (
            (self.num_mels, self.window_ms, self.hop_ms) != (32, 25.0, 10.0) or self.rate_hz not in (8_000, 16_000)
        ):
            raise ValueError(
                'bands = "speech_embedding" needs num_mels = 32, window_ms = 25, hop_ms = 10, and rate_hz = 8000 '
                "or 16000: above 3,800 Hz it hears nothing"
            )
        return self


class SensorChannel(Config):
    """One channel of the sensors: its unit, its range, and the scale that the network sees it in."""

    unit: str | None = Field(None, min_length=1, description="For people: m/s, degrees.")
    low: float | None = Field(
        None, description="Readings below are reported; training fills in the least that it saw, and a margin."
    )
    high: float | None = Field(
        None, description="Readings above are reported; training fills in the most that it saw, and a margin."
    )
    mean: float = Field(0.0, description="Of the training rows; training fills it in.")
    std: float = Field(1.0, gt=0, description="Of the training rows; training fills it in.")

    @model_validator(mode="after")
    def _the_range_is_not_empty(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must be at most high ({self.high:g})")
        return self


class SensorPreprocessing(Config):
    """How readings become a window of steps by channels: each in deviations of the training rows, newest last."""

    steps: int = Field(1, ge=1, le=4096, description="Of the window; of longer ones the newest are taken.")
    margin: float = Field(
        0.1,
        ge=0,
        le=10,
        description="Share of the training rows' range, by which a reading may be beyond it.",
    )
    channels: dict[str, SensorChannel] = Field(
        default_factory=dict, description="By name. Those of the training rows where none is named."
    )


class Preprocessing(Config):
    """One entry for each modality that the network knows."""

    image: ImagePreprocessing | None = None
    text: TextPreprocessing | None = None
    audio: AudioPreprocessing | None = None
    sensors: SensorPreprocessing | None = None
