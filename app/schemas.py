"""The answers, as they stand in the HTTP contract."""

from typing import Any, Literal, Self
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, Field

from app.served import Answer, Model
from models.config import ClassificationHead, RegressionHead
from models.predictor import Value
from retrieval.gallery import Item, Match


def _is_none(value: object) -> bool:
    return value is None


class ModelRef(BaseModel):
    """Which model answered."""

    name: str
    version: int

    @classmethod
    def of(cls, model: Model) -> Self:
        """The name and version of `model`."""
        return cls(name=model.name, version=model.version)


class ScoredLabel(BaseModel):
    """A label with its calibrated probability."""

    label: str
    score: float = Field(ge=0, le=1)


class PredictedValue(BaseModel):
    """A number that a head predicts."""

    value: float
    std: float | None = Field(
        None, exclude_if=_is_none, description="Calibrated standard deviation, where the head predicts its own."
    )
    unit: str | None = Field(None, exclude_if=_is_none, description="Where the recipe named one.")

    @classmethod
    def of(cls, found: Value, head: RegressionHead) -> Self:
        """The number `found` that `head` gave, to the six digits that float32 has."""
        std = None if found.std is None else _six_digits(found.std)
        return cls(value=_six_digits(found.value), std=std, unit=head.unit)


def _six_digits(number: float) -> float:
    return float(f"{number:.6g}")


class ItemResponse(BaseModel):
    """An item of a gallery."""

    id: str
    text: str | None
    labels: dict[str, str | list[str]]
    metadata: dict[str, Any]
    image_url: str | None = Field(description="Relative to this server; null where the item has no image.")

    @classmethod
    def of(cls, item: Item, gallery: str, root_path: str) -> Self:
        """The item `item` of the gallery named `gallery`."""
        return cls(**_item_fields(item, gallery, root_path))


class MatchResponse(BaseModel):
    """An item that a search found."""

    id: str
    score: float = Field(description="Cosine, -1 to 1.")
    text: str | None
    labels: dict[str, str | list[str]]
    metadata: dict[str, Any]
    image_url: str | None = Field(description="Relative to this server; null where the item has no image.")

    @classmethod
    def of(cls, match: Match, gallery: str, root_path: str) -> Self:
        """The match `match` of the gallery named `gallery`."""
        return cls(score=match.score, **_item_fields(match.item, gallery, root_path))


def _item_fields(item: Item, gallery: str, root_path: str) -> dict[str, Any]:
    url = f"{root_path}/galleries/{quote(gallery, safe='')}/items/{quote(item.id, safe='')}/image"
    return {
        "id": item.id,
        "text": item.text,
        "labels": item.labels,
        "metadata": item.metadata,
        "image_url": url if item.has_image else None,
    }


class PredictResponse(BaseModel):
    """What a model found in one item."""

    model: ModelRef
    modalities_used: list[str]
    classes: dict[str, list[ScoredLabel]] = Field(description="Labels by head, the most probable first.")
    coverage: float | None = Field(
        None, exclude_if=_is_none, description="As it was asked for; left out where it was not."
    )
    prediction_sets: dict[str, list[str]] | None = Field(
        None,
        exclude_if=_is_none,
        description="For each head of a single label, the labels that it may be, the most probable first: of all "
        "such sets, a share of at least `coverage` holds the right one. Left out where none were asked for.",
    )
    values: dict[str, PredictedValue] | None = Field(
        None,
        exclude_if=_is_none,
        description="Numbers by head; left out where the model has no head that gives one.",
    )
    matches: list[MatchResponse] = Field(description="The nearest items of the gallery, the nearest first.")
    request_id: str

    @classmethod
    def of(
        cls, answer: Answer, *, num_labels: int, coverage: float | None, request_id: str, root_path: str
    ) -> Self:
        """The answer with `num_labels` labels for each head, 0 being all.

        Raises:
            InputError: a coverage that the model has no prediction sets for.
        """
        predictor, prediction = answer.model.predictor, answer.prediction
        heads, targets = predictor.config.network.classes, predictor.config.network.targets
        values = {name: PredictedValue.of(found, targets[name]) for name, found in prediction.values.items()}
        return cls(
            model=ModelRef.of(answer.model),
            modalities_used=list(prediction.modalities_used),
            classes={name: _best(heads[name], scores, num_labels) for name, scores in prediction.scores.items()},
            coverage=coverage,
            prediction_sets=None if coverage is None else predictor.prediction_sets(prediction, coverage),
            values=values or None,
            matches=[MatchResponse.of(match, answer.model.name, root_path) for match in answer.matches],
            request_id=request_id,
        )


def _best(
    head: ClassificationHead, scores_C: np.ndarray[Any, np.dtype[np.float32]], num_labels: int
) -> list[ScoredLabel]:
    order = np.argsort(-scores_C, kind="stable")[: num_labels or None]
    # Six decimals are what float32 has to say.
    return [ScoredLabel(label=head.labels[index], score=round(float(scores_C[index]), 6)) for index in order]


class BatchSuccess(PredictResponse):
    """An item of a batch that was answered."""

    status: Literal[200] = 200


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="about:blank: the title is the status's own.")
    title: str
    status: int
    detail: str = Field(description="Field, fault and remedy.")
    field: str | None = Field(None, description="The field at fault, where it is one.")
    request_id: str


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


class ItemPage(BaseModel):
    """Some items of a gallery, in the order of their ids."""

    items: list[ItemResponse]
    num_items: int = Field(description="Items in the whole gallery.")
    next: str | None = Field(description="The `after` of the next page; null on the last.")


class SearchResponse(BaseModel):
    """What a search found."""

    matches: list[MatchResponse]
    target: str
    request_id: str


class HeadResponse(BaseModel):
    """A classification head."""

    labels: list[str]
    multi_label: bool


class ValueHeadResponse(BaseModel):
    """A head that gives a number."""

    mean: float = Field(description="Of the rows that the model was trained on.")
    std: float = Field(description="Of the same rows.")
    uncertainty: bool = Field(description="Whether a standard deviation comes with each number.")
    unit: str | None = Field(None, exclude_if=_is_none, description="Where the recipe named one.")

    @classmethod
    def of(cls, head: RegressionHead) -> Self:
        """A description of `head`."""
        mean, std = _six_digits(head.mean), _six_digits(head.std)
        return cls(mean=mean, std=std, uncertainty=head.uncertainty, unit=head.unit)


class GalleryResponse(BaseModel):
    """A model's gallery."""

    name: str
    num_items: int
    targets: list[str]


class ModelResponse(BaseModel):
    """A model that is served."""

    name: str
    version: int
    default: bool
    modalities: list[str]
    heads: dict[str, HeadResponse]
    values: dict[str, ValueHeadResponse] | None = Field(
        None, exclude_if=_is_none, description="Left out where no head gives a number."
    )
    dimensions: int = Field(description="Length of an embedding.")
    embedding_id: str
    engine: str
    device: str
    gallery: GalleryResponse | None

    @classmethod
    def of(cls, model: Model, *, default: bool) -> Self:
        """A description of `model`."""
        config, gallery = model.predictor.config, model.gallery
        return cls(
            name=model.name,
            version=model.version,
            default=default,
            modalities=list(model.modalities),
            heads={
                name: HeadResponse(labels=list(head.labels), multi_label=head.multi_label)
                for name, head in config.network.classes.items()
            },
            values={name: ValueHeadResponse.of(head) for name, head in config.network.targets.items()} or None,
            dimensions=config.network.embedding.dimensions,
            embedding_id=config.embedding_id,
            engine=model.predictor.engine.name,
            device=model.predictor.engine.device,
            gallery=None
            if gallery is None
            else GalleryResponse(name=model.name, num_items=len(gallery), targets=list(gallery.targets)),
        )


class ModelsResponse(BaseModel):
    """The models that are served, the default first."""

    models: list[ModelResponse]


class Health(BaseModel):
    """The state of the service."""

    status: str
