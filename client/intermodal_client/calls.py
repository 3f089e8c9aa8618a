"""Each question that a service can be asked: its route, what is sent, and what the answer becomes.

Sends nothing; the sync and the async client both do, from here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from intermodal_client.answers import (
    Classification,
    Embedding,
    GeneratedText,
    Item,
    ItemPage,
    Prediction,
    SearchResult,
    Transcript,
)
from intermodal_client.descriptions import Gallery, Model
from intermodal_client.errors import AnswerError, ProblemError, problem_from
from intermodal_client.fields import Body, ItemChange, PredictFields, body_of, in_json
from intermodal_client.parsing import build

T = TypeVar("T")

LOAD_SECONDS = 330.0
"""For a version to be loaded: what a service allows by default, and some more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request.

    route: as the OpenAPI document has it; `names` fills its braces.
    parse: from a successful answer.
    repeatable: whether it may be sent again where nobody knows what became of it.
    timeout_seconds: where the client's own will not do.
    """

    method: str
    route: str
    parse: Callable[[httpx.Response], T]
    names: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Body)
    repeatable: bool = True
    timeout_seconds: float | None = None

    @property
    def path(self) -> str:
        """The path, percent-encoded, relative to the service's address."""
        return self.route.format(**{name: quote(value, safe="") for name, value in self.names.items()})


def _as(kind: type[T]) -> Callable[[httpx.Response], T]:
    return lambda answer: build(kind, _json(answer))


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise AnswerError("The answer is no JSON. Is this the address of an Intermodal service?") from None


def _nothing(_: httpx.Response) -> None:
    return None


def _of_model(end: str, model: str | None, version: int | None) -> tuple[str, dict[str, str]]:
    """Route and names of what each model, and each version of it, can be asked."""
    if model is None:
        if version is not None:
            raise ValueError("a version is one of a model: name the model too")
        return end, {}
    if version is None:
        return f"/models/{{name}}{end}", {"name": model}
    return f"/models/{{name}}/versions/{{version}}{end}", {"name": model, "version": str(version)}


def _of_gallery(end: str, gallery: str | None, **names: str) -> tuple[str, dict[str, str]]:
    """Route and names of what each gallery can be asked; the default model's own where none is named."""
    if gallery is None:
        return end, names
    return f"/galleries/{{gallery}}{end}", {"gallery": gallery, **names}


def predict(fields: Mapping[str, Any], model: str | None = None, version: int | None = None) -> Call[Prediction]:
    """POST /predict."""
    route, names = _of_model("/predict", model, version)
    return Call(method="POST", route=route, names=names, body=body_of(fields), parse=_as(Prediction))


def predict_batch(items: Iterable[PredictFields]) -> Call[list[Prediction | ProblemError]]:
    """POST /predict/batch."""

    def parse(answer: httpx.Response) -> list[Prediction | ProblemError]:
        return [
            build(Prediction, result) if result["status"] == 200 else problem_from(result["problem"])
            for result in _json(answer)["results"]
        ]

    body = Body(json={"items": [in_json(item) for item in items]})
    return Call(method="POST", route="/predict/batch", body=body, parse=parse)


def embed(fields: Mapping[str, Any]) -> Call[Embedding]:
    """POST /embed."""
    return Call(method="POST", route="/embed", body=body_of(fields), parse=_as(Embedding))


def classify(fields: Mapping[str, Any]) -> Call[Classification]:
    """POST /classify."""
    return Call(method="POST", route="/classify", body=body_of(fields), parse=_as(Classification))


def transcribe(
    fields: Mapping[str, Any], model: str | None = None, version: int | None = None
) -> Call[Transcript]:
    """POST /transcribe."""
    route, names = _of_model("/transcribe", model, version)
    return Call(method="POST", route=route, names=names, body=body_of(fields), parse=_as(Transcript))


def generate(
    fields: Mapping[str, Any], model: str | None = None, version: int | None = None, *, stream: bool = False
) -> Call[GeneratedText]:
    """POST /generate; with `stream`, as events, which `streaming` reads."""
    route, names = _of_model("/generate", model, version)
    body = body_of({**fields, "stream": True} if stream else fields)
    return Call(method="POST", route=route, names=names, body=body, parse=_as(GeneratedText))


def search(fields: Mapping[str, Any], gallery: str | None = None) -> Call[SearchResult]:
    """POST /search."""
    route, names = _of_gallery("/search", gallery)
    return Call(method="POST", route=route, names=names, body=body_of(fields), parse=_as(SearchResult))


def put_item(item_id: str, fields: Mapping[str, Any], gallery: str | None = None) -> Call[Item]:
    """PUT /items/{item_id}."""
    route, names = _of_gallery("/items/{item_id}", gallery, item_id=item_id)
    return Call(method="PUT", route=route, names=names, body=body_of(fields), parse=_as(Item))


def get_item(item_id: str, gallery: str | None = None) -> Call[Item]:
    """GET /items/{item_id}."""
    route, names = _of_gallery("/items/{item_id}", gallery, item_id=item_id)
    return Call(method="GET", route=route, names=names, parse=_as(Item))


def delete_item(item_id: str, gallery: str | None = None) -> Call[None]:
    """DELETE /items/{item_id}."""
    route, names = _of_gallery("/items/{item_id}", gallery, item_id=item_id)
    return Call(method="DELETE", route=route, names=names, parse=_nothing, repeatable=False)


def get_file(item_id: str, kind: str, gallery: str | None = None) -> Call[bytes]:
    """GET /items/{item_id}/image, /thumbnail, /audio or /sensors."""
    route, names = _of_gallery(f"/items/{{item_id}}/{kind}", gallery, item_id=item_id)
    return Call(method="GET", route=route, names=names, parse=lambda answer: answer.content)


def change_items(changes: Iterable[ItemChange], gallery: str | None = None) -> Call[list[str | ProblemError]]:
    """POST /items:batch."""

    def parse(answer: httpx.Response) -> list[str | ProblemError]:
        return [
            problem_from(result["problem"]) if "problem" in result else str(result["id"])
            for result in _json(answer)["results"]
        ]

    route, names = _of_gallery("/items:batch", gallery)
    body = Body(json={"items": [in_json(change) for change in changes]})
    return Call(method="POST", route=route, names=names, body=body, parse=parse)


def page(gallery: str | None = None, limit: int = 100, after: str | None = None) -> Call[ItemPage]:
    """GET /items."""
    route, names = _of_gallery("/items", gallery)
    query = {"limit": str(limit)} | ({} if after is None else {"after": after})
    return Call(method="GET", route=route, names=names, query=query, parse=_as(ItemPage))


def galleries() -> Call[list[Gallery]]:
    """GET /galleries."""
    return Call(method="GET", route="/galleries", parse=_listed("galleries", Gallery))


def get_gallery(name: str) -> Call[Gallery]:
    """GET /galleries/{gallery}."""
    return Call(method="GET", route="/galleries/{gallery}", names={"gallery": name}, parse=_as(Gallery))


def create_gallery(name: str, model: str | None = None) -> Call[Gallery]:
    """PUT /galleries/{gallery}."""
    body = Body() if model is None else Body(json={"model": model})
    return Call(method="PUT", route="/galleries/{gallery}", names={"gallery": name}, body=body, parse=_as(Gallery))


def delete_gallery(name: str) -> Call[None]:
    """DELETE /galleries/{gallery}."""
    names = {"gallery": name}
    return Call(method="DELETE", route="/galleries/{gallery}", names=names, parse=_nothing, repeatable=False)


def models() -> Call[list[Model]]:
    """GET /models."""
    return Call(method="GET", route="/models", parse=_listed("models", Model))


def get_model(name: str) -> Call[Model]:
    """GET /models/{name}."""
    return Call(method="GET", route="/models/{name}", names={"name": name}, parse=_as(Model))


def load(name: str, fields: Mapping[str, Any]) -> Call[Model]:
    """POST /models/{name}/load."""
    return Call(
        method="POST", route="/models/{name}/load", names={"name": name}, body=Body(json=in_json(fields)),
        parse=_as(Model), timeout_seconds=LOAD_SECONDS,
    )  # fmt: skip


def unload(name: str, version: int | None = None) -> Call[list[Model]]:
    """POST /models/{name}/unload."""
    return Call(
        method="POST", route="/models/{name}/unload", names={"name": name}, repeatable=False,
        body=Body(json=in_json({"version": version})), parse=_listed("models", Model),
    )  # fmt: skip


def health(what: str) -> Call[bool]:
    """GET /health/live, /ready or /startup."""
    return Call(method="GET", route=f"/health/{what}", parse=lambda _: True)


def _listed(name: str, kind: type[T]) -> Callable[[httpx.Response], list[T]]:
    return lambda answer: [build(kind, value) for value in _json(answer)[name]]
