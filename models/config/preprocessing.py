"""How each modality's decoded inputs become what its encoder takes."""

from typing import Literal

from pydantic import Field

from models.config.base import Config


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
