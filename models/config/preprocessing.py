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


class Preprocessing(Config):
    """One entry for each modality that the network knows."""

    image: ImagePreprocessing | None = None
    text: TextPreprocessing | None = None
    audio: AudioPreprocessing | None = None
