"""What speaks against an answer: readings out of range, and whether to act upon it at all."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.schemas.common import is_none, six_digits
from models.predictor import Prediction
from models.trust import Doubt


class OutOfRangeResponse(BaseModel):
    """A reading far from all that the model was trained on."""

    value: float
    low: float | None = Field(description="Bounds of what is in range; null where there is none.")
    high: float | None


class DoubtResponse(BaseModel):
    """A reason not to trust an answer."""

    kind: Literal["missing", "out_of_range", "unfamiliar", "uncertain"] = Field(
        description="An input that the model needs; a reading; an input like none that the model was trained on; "
        "a head that is less sure than it is wont to be."
    )
    about: str = Field(description="The modality, the channel, or the head.")
    value: float | None = Field(
        None,
        exclude_if=is_none,
        description="Of an input its distance, where 1 is usual; of a head its standard deviation, "
        "or its best score.",
    )
    limit: float | None = Field(
        None, exclude_if=is_none, description="What the distance or the deviation is above, or the score below."
    )


class TrustResponse(BaseModel):
    """Whether to act upon an answer."""

    ok: bool = Field(
        description="Whether there is no reason against it. Where false, fall back: brake, or ask a person."
    )
    reasons: list[DoubtResponse]


def out_of_range_json(prediction: Prediction) -> dict[str, Any]:
    """By channel, an `OutOfRangeResponse`; of a channel that is in range nothing."""
    return {
        name: {"value": one.value, "low": _bound(one.low), "high": _bound(one.high)}
        for name, one in prediction.out_of_range.items()
    }


def trust_json(doubts: Sequence[Doubt]) -> dict[str, Any]:
    """A `TrustResponse`."""
    return {"ok": not doubts, "reasons": [_doubt(doubt) for doubt in doubts]}


def _bound(value: float | None) -> float | None:
    return None if value is None else six_digits(value)


def _doubt(doubt: Doubt) -> dict[str, Any]:
    named = {"kind": doubt.kind, "about": doubt.about}
    if doubt.value is None or doubt.limit is None:
        return named
    return {**named, "value": six_digits(doubt.value), "limit": six_digits(doubt.limit)}
