"""A text that a model wrote, as it is answered."""

from typing import Any

from pydantic import BaseModel, Field

from app.schemas.common import ModelRef
from app.served import Model
from models.caption import Caption, FinishReason


class CaptionResponse(BaseModel):
    """What was written."""

    text: str = Field(description="Without the text that it continues.")
    num_tokens: int
    finish_reason: FinishReason = Field(
        description="stop: the model ended it, or one of `stop` did; length: it has `max_tokens`."
    )
    score: float = Field(description="The mean log-probability of its tokens; 0 is the most.")


class GenerateResponse(CaptionResponse):
    """What was written, and by which model."""

    model: ModelRef
    request_id: str


def caption_json(caption: Caption) -> dict[str, Any]:
    """What `CaptionResponse` describes, as plain objects."""
    return {
        "text": caption.text,
        "num_tokens": caption.num_tokens,
        "finish_reason": caption.finish_reason,
        "score": round(caption.score, 6),
    }


def text_json(caption: Caption, model: Model, request_id: str) -> dict[str, Any]:
    """What `GenerateResponse` describes, as plain objects."""
    return {
        **caption_json(caption),
        "model": {"name": model.name, "version": model.version},
        "request_id": request_id,
    }
