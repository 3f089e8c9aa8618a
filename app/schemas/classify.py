"""What an input scored for labels that came with it."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, Field

from app.schemas.common import ModelRef
from app.served import Model
from app.zero_shot import ScoredLabel


class LabelShare(BaseModel):
    """A label with its share; all shares of an answer sum to 1."""

    label: str
    score: float = Field(ge=0, le=1)


class ClassifyResponse(BaseModel):
    """Every label that was sent, the most probable first."""

    labels: list[LabelShare]
    model: ModelRef
    request_id: str

    @classmethod
    def of(cls, scored: Sequence[ScoredLabel], model: Model, request_id: str) -> Self:
        """The answer of `model`."""
        labels = [LabelShare(label=one.label, score=one.score) for one in scored]
        return cls(labels=labels, model=ModelRef.of(model), request_id=request_id)
