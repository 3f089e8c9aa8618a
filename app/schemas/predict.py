"""What a model found in an item, or in each of several."""

from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, Field

from app.schemas.common import ModelRef, Problem, is_none, six_digits
from app.schemas.explanation import HeadExplanation, explanation_json
from app.schemas.galleries import MatchResponse, match_json
from app.schemas.generate import CaptionResponse, caption_json
from app.schemas.judgement import OutOfRangeResponse, TrustResponse, out_of_range_json, trust_json
from app.served import Answer
from models.config import ClassificationHead, RegressionHead
from models.predictor import Value


class ScoredLabel(BaseModel):
    """A label with its calibrated probability."""

    label: str
    score: float = Field(ge=0, le=1)


class PredictedValue(BaseModel):
    """A number that a head predicts."""

    value: float
    std: float | None = Field(
        None, exclude_if=is_none, description="Calibrated standard deviation, where the head predicts its own."
    )
    unit: str | None = Field(None, exclude_if=is_none, description="Where the recipe named one.")


class PredictResponse(BaseModel):
    """What a model found in one item."""

    model: ModelRef
    modalities_used: list[str]
    classes: dict[str, list[ScoredLabel]] = Field(description="Labels by head, the most probable first.")
    coverage: float | None = Field(
        None, exclude_if=is_none, description="As it was asked for; left out where it was not."
    )
    prediction_sets: dict[str, list[str]] | None = Field(
        None,
        exclude_if=is_none,
        description="For each head of a single label, the labels that it may be, the most probable first: of all "
        "such sets, a share of at least `coverage` holds the right one. Left out where none were asked for.",
    )
    values: dict[str, PredictedValue] | None = Field(
        None,
        exclude_if=is_none,
        description="Numbers by head; left out where the model has no head that gives one.",
    )
    explanation: dict[str, HeadExplanation] | None = Field(
        None,
        exclude_if=is_none,
        description="By head, what its first label (or its number) rests on; left out where it was not asked for.",
    )
    out_of_range: dict[str, OutOfRangeResponse] | None = Field(
        None,
        exclude_if=is_none,
        description="By channel of the sensors, its reading that is farthest out of the range; left out where all "
        "are within. The answer counts with them all the same.",
    )
    trust: TrustResponse | None = Field(
        None, exclude_if=is_none, description="Left out where the model has no rules to judge its answers by."
    )
    caption: CaptionResponse | None = Field(
        None,
        exclude_if=is_none,
        description="What the model writes about it; left out unless it was asked for.",
    )
    matches: list[MatchResponse] = Field(description="The nearest items of the gallery, the nearest first.")
    request_id: str


def answer_json(
    answer: Answer, *, num_labels: int, coverage: float | None, request_id: str, root_path: str
) -> dict[str, Any]:
    """What `PredictResponse` describes, as plain objects, with `num_labels` labels for each head, 0 being all.

    Not an instance of it: making, checking and dumping some thirty models took a tenth of the event loop's time. A
    test holds the two together.

    Raises:
        InputError: a coverage that the model has no prediction sets for.
    """
    predictor, prediction, name = answer.model.predictor, answer.prediction, answer.model.name
    heads, targets = predictor.config.network.classes, predictor.config.network.targets
    found: dict[str, Any] = {
        "model": {"name": name, "version": answer.model.version},
        "modalities_used": prediction.modalities_used,
        "classes": {head: _best(heads[head], scores, num_labels) for head, scores in prediction.scores.items()},
    }
    if coverage is not None:
        found["coverage"] = coverage
        found["prediction_sets"] = predictor.prediction_sets(prediction, coverage)
    if prediction.values:
        found["values"] = {head: _value(value, targets[head]) for head, value in prediction.values.items()}
    if answer.explanation is not None:
        found["explanation"] = explanation_json(answer.explanation, predictor.config.network)
    if prediction.out_of_range:
        found["out_of_range"] = out_of_range_json(prediction)
    if (doubts := predictor.doubts(prediction)) is not None:
        found["trust"] = trust_json(doubts)
    if answer.caption is not None:
        found["caption"] = caption_json(answer.caption)
    gallery = answer.gallery or name
    found["matches"] = [match_json(match, gallery, root_path) for match in answer.matches]
    found["request_id"] = request_id
    return found


def _best(
    head: ClassificationHead, scores_C: np.ndarray[Any, np.dtype[np.float32]], num_labels: int
) -> list[dict[str, Any]]:
    # Of some hundred labels, Python's own sort takes a fifth of the time of numpy's calls.
    scores: list[float] = scores_C.tolist()
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: num_labels or None]
    # Six decimals are what float32 has to say.
    return [{"label": head.labels[index], "score": round(scores[index], 6)} for index in order]


def _value(found: Value, head: RegressionHead) -> dict[str, Any]:
    """The number `found` that `head` gave, to the six digits that float32 has."""
    named = {"value": six_digits(found.value)}
    std = {} if found.std is None else {"std": six_digits(found.std)}
    return named | std | ({} if head.unit is None else {"unit": head.unit})


class BatchSuccess(PredictResponse):
    """An item of a batch that was answered."""

    status: Literal[200] = 200


class BatchFailure(BaseModel):
    """An item of a batch that was refused."""

    status: int
    problem: Problem


class BatchResponse(BaseModel):
    """One result for each item, in order."""

    results: list[BatchSuccess | BatchFailure]


class EmbedResponse(BaseModel):
    """A vector of unit norm, in the space that every modality shares."""

    embedding: list[float]
    dimensions: int
    model: ModelRef
    request_id: str

    @classmethod
    def of(cls, answer: Answer, request_id: str) -> Self:
        """The embedding of `answer`."""
        embedding = answer.prediction.embedding_E.tolist()
        return cls(
            embedding=embedding,
            dimensions=len(embedding),
            model=ModelRef.of(answer.model),
            request_id=request_id,
        )
