"""A text that a model wrote, as it is answered."""

from typing import Any

from pydantic import BaseModel, Field

from app.desk import Written
from app.schemas.common import ModelRef
from app.served import Model
from models.caption import FinishReason


class GenerateResponse(BaseModel):
    """What was written."""

    text: str = Field(description="Without the text that it continues.")
    num_tokens: int
    finish_reason: FinishReason = Field(
        description="stop: the model ended it, or one of `stop` did; length: it has `max_tokens`."
    )
    score: float = Field(description="The mean log-probability of its tokens; 0 is the most.")
    model: ModelRef
    request_id: str


def text_json(written: Written, model: Model, request_id: str) -> dict[str, Any]:
    """What `GenerateResponse` describes, as plain objects."""
    caption = written.caption
    return {
        "text": caption.text,
        "num_tokens": caption.num_tokens,
        "finish_reason": caption.finish_reason,
        "score": round(caption.score, 6),
        "model": {"name": model.name, "version": model.version},
        "request_id": request_id,
    }
