"""What a network says of the fused vector: labels, numbers, an embedding."""

from typing import Literal

from pydantic import Field

from models.config.base import Config


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
