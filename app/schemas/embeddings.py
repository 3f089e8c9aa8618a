"""What the routes that speak OpenAI's protocol answer with."""

import base64
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, Field

from app.registry import Registry
from app.schemas.common import Problem
from app.served import Answer, Model
from retrieval.gallery import Floats


class EmbeddingData(BaseModel):
    """One item's vector, of unit norm."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="Numbers; or base64 of them as little-endian float32.")


class Usage(BaseModel):
    """Tokens of all texts, as the network saw them: no padding, and no more than the model's limit for each."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """A vector for each item, in order."""

    object: Literal["list"] = "list"
    data: list[EmbeddingData]
    model: str
    usage: Usage

    @classmethod
    def of(cls, answers: Sequence[Answer], name: str, dimensions: int | None, *, as_base64: bool) -> Self:
        """The embeddings of `answers`, cut to `dimensions` and of unit norm again."""
        vectors = [shortened(answer.prediction.embedding_E, dimensions) for answer in answers]
        num_tokens = sum(answer.num_text_tokens for answer in answers)
        return cls(
            data=[
                EmbeddingData(index=index, embedding=_base64(vector) if as_base64 else vector.tolist())
                for index, vector in enumerate(vectors)
            ],
            model=name,
            usage=Usage(prompt_tokens=num_tokens, total_tokens=num_tokens),
        )


def shortened(vector_E: Floats, dimensions: int | None) -> Floats:
    """The first `dimensions` numbers, made a vector of unit norm; all of them for None."""
    if dimensions is None or dimensions == len(vector_E):
        return vector_E
    short: Floats = vector_E[:dimensions] / max(float(np.linalg.norm(vector_E[:dimensions])), 1e-12)
    return short


def _base64(vector_E: Floats) -> str:
    return base64.b64encode(vector_E.astype("<f4").tobytes()).decode()


class OpenAIModel(BaseModel):
    """A model, by name; a version that is not the current one, by name@version."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(0, description="Always 0: a checkpoint does not say when it was made.")
    owned_by: str = "intermodal"

    @classmethod
    def of(cls, model: Model, registry: Registry) -> Self:
        """How `model`, which is in `registry`, is called here."""
        return cls(id=model_id(model, registry))


def model_id(model: Model, registry: Registry) -> str:
    """The name, with the version where it is not the current one."""
    current = registry.versions(model.name)[:1] == [model.version]
    return model.name if current else f"{model.name}@{model.version}"


class OpenAIModels(BaseModel):
    """Every version that is loaded, the default model first."""

    object: Literal["list"] = "list"
    data: list[OpenAIModel]


class OpenAIError(BaseModel):
    """What went wrong, as OpenAI says it."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIProblem(Problem):
    """What went wrong, as OpenAI says it, and as all routes do."""

    error: OpenAIError
