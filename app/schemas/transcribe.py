"""What was said in a recording, as it is answered."""

from typing import Self

from pydantic import BaseModel, Field

from app.schemas.common import ModelRef, is_none
from app.served import Model
from models.transcript import Transcript


class WordResponse(BaseModel):
    """A word, and where in the recording it is, in seconds from its start."""

    text: str
    start: float
    end: float
    confidence: float = Field(ge=0, le=1)


class AlternativeResponse(BaseModel):
    """Another reading of the whole."""

    text: str
    confidence: float = Field(ge=0, le=1, description="Its share of the probability of all that were kept.")


class TranscribeResponse(BaseModel):
    """What was said; an empty text where nothing was."""

    text: str
    confidence: float = Field(ge=0, le=1, description="The geometric mean of its tokens' probabilities.")
    words: list[WordResponse]
    alternatives: list[AlternativeResponse] | None = Field(
        None, exclude_if=is_none, description="The n best, the best first; left out where none were asked for."
    )
    duration_seconds: float
    model: ModelRef
    request_id: str

    @classmethod
    def of(cls, transcript: Transcript, seconds: float, model: Model, request_id: str) -> Self:
        """`transcript` of a recording of so many seconds."""
        return cls(
            text=transcript.text,
            confidence=round(transcript.confidence, 6),
            words=words_of(transcript),
            alternatives=[
                AlternativeResponse(text=one.text, confidence=round(one.confidence, 6))
                for one in transcript.alternatives
            ]
            or None,
            duration_seconds=round(seconds, 4),
            model=ModelRef.of(model),
            request_id=request_id,
        )


def words_of(transcript: Transcript, offset_seconds: float = 0.0) -> list[WordResponse]:
    """The words, their places counted from `offset_seconds` before the recording."""
    return [
        WordResponse(
            text=word.text,
            start=round(offset_seconds + word.start_seconds, 3),
            end=round(offset_seconds + word.end_seconds, 3),
            confidence=round(word.confidence, 6),
        )
        for word in transcript.words
    ]
