"""What a network says: labels, numbers, an embedding of the fused vector; transcripts, and texts about items."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

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


WORD_START = "\u2581"
"""What a token that begins a word begins with, as sentencepiece has it."""


class CtcHead(Config):
    """A token, or none, for each frame of a recording (Graves et al. 2006, CTC)."""

    kind: Literal["ctc"] = "ctc"
    units: Literal["characters", "subwords", "words"] = "characters"
    num_subwords: int = Field(200, ge=16, le=8_000, description="At most so many, where units are subwords.")
    language_weight: float = Field(
        0.5, ge=0, le=10, description="Of the n-gram model in beam search, where the checkpoint has one."
    )
    pause_seconds: float = Field(
        0.4,
        ge=0.1,
        le=5,
        description="Silence of this length parts a recording into pieces that are read alone.",
    )
    around_seconds: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Silence that is put before and behind each piece, for recordings that are cut close.",
    )
    tokens: tuple[str, ...] = Field(
        (), description='Training fills them in. Number 0 is the blank, "". A word begins with "\u2581".'
    )

    @model_validator(mode="after")
    def _the_blank_comes_first(self) -> Self:
        if self.tokens and (self.tokens[0] or len(set(self.tokens)) != len(self.tokens) or len(self.tokens) < 2):
            raise ValueError('tokens: must be "" for the blank, and then at least one token, each once')
        return self


class CaptionHead(Config):
    """A text, written subword by subword while looking at the encoders' tokens: a transformer's decoder.

    Vaswani et al. 2017, with the norms before the layers; embeddings and output share their weights.
    """

    kind: Literal["caption"] = "caption"
    reads: tuple[Literal["image", "text", "audio", "sensors"], ...] = Field(
        ("image",), min_length=1, description="The modalities whose tokens are looked at while writing."
    )
    hidden: int = Field(256, ge=2, description="Width of a subword.")
    layers: int = Field(3, ge=1, le=24)
    heads: int = Field(4, ge=1)
    feedforward: int = Field(1024, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    max_tokens: int = Field(40, ge=1, le=512, description="Longest text, a prompt included.")
    min_count: int = Field(
        2, ge=1, description="Subwords that the captions of train have less often are not learnt to be written."
    )
    blind: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of rows that training hides all inputs of, so that a prompt alone is continued too; "
        "0 = an item needs one of `reads`.",
    )
    capitals: Literal["none", "sentence", "words"] = Field(
        "none",
        description="The subwords know small letters alone: write all of a text so, or with a capital at its "
        "beginning, or at that of each word.",
    )
    num_beams: int = Field(4, ge=1, le=16, description="Where captions are measured.")
    length_penalty: float = Field(0.8, ge=0, le=4, description="Of beams, where a request says nothing.")
    no_repeat_ngram: int = Field(3, ge=0, le=16, description="The same; 0 allows repetitions.")
    tokens: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="Training fills them in: numbers, in the tokenizer, of the subwords that can be written."
    )

    @field_validator("reads")
    @classmethod
    def _in_the_order_of_a_batch(cls, reads: tuple[str, ...]) -> tuple[str, ...]:
        # As subsets are named, by which captions are measured.
        return tuple(sorted(reads, key=("image", "text", "audio", "sensors").index))

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("tokens: each must stand there once")
        if len(set(self.reads)) != len(self.reads):
            raise ValueError("reads: each modality must stand there once")
        return self
