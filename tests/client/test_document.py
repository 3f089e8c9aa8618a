"""The client knows the routes and fields of the OpenAPI document, and the document those of the client."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from intermodal_client import AsyncClient, Client, answers, calls, descriptions, fields
from intermodal_client.calls import Call

from app.main import create_app
from app.service import Service
from app.settings import Settings

NOT_IN_THE_CLIENT = {
    "GET /metrics": "for Prometheus",
    # What other clients speak: docs/protocols.md.
    "GET /v2": "", "GET /v2/health/live": "", "GET /v2/health/ready": "",
    **{f"{method} /v2/models/{{name}}{version}{end}": "" for version in ("", "/versions/{version}")
       for method, end in (("GET", ""), ("GET", "/ready"), ("POST", "/infer"))},
    "POST /v1/embeddings": "", "GET /v1/models": "", "GET /v1/models/{model}": "",
}  # fmt: skip

BY_METHOD: dict[type, set[str]] = {fields.TranscribeFields: {"model"}, fields.GenerateFields: {"model", "stream"}}
"""What the method says: an argument of it fills the path, and another method streams."""

EVERY_MODEL = ((None, None), ("a", None), ("a", 1))
EVERY_GALLERY = (None, "g")


def every(make: Callable[..., Call[Any]], *arguments: Any, of: tuple[Any, ...]) -> list[Call[Any]]:
    return [make(*arguments, *(place if isinstance(place, tuple) else (place,))) for place in of]


CALLS: list[tuple[list[Call[Any]], type | None, type | None]] = [
    (every(calls.predict, {}, of=EVERY_MODEL), fields.PredictFields, answers.Prediction),
    ([calls.predict_batch([])], None, None),
    ([calls.embed({})], fields.Inputs, answers.Embedding),
    ([calls.classify({})], fields.ClassifyFields, answers.Classification),
    (every(calls.transcribe, {}, of=EVERY_MODEL), fields.TranscribeFields, answers.Transcript),
    (every(calls.generate, {}, of=EVERY_MODEL), fields.GenerateFields, answers.GeneratedText),
    (every(calls.search, {}, of=EVERY_GALLERY), fields.SearchFields, answers.SearchResult),
    (every(calls.put_item, "i", {}, of=EVERY_GALLERY), fields.ItemFields, answers.Item),
    (every(calls.get_item, "i", of=EVERY_GALLERY), None, answers.Item),
    (every(calls.delete_item, "i", of=EVERY_GALLERY), None, None),
    *[
        (every(calls.get_file, "i", kind, of=EVERY_GALLERY), None, None)
        for kind in ("image", "thumbnail", "audio", "sensors")
    ],
    (every(calls.change_items, [], of=EVERY_GALLERY), None, None),
    (every(calls.page, of=EVERY_GALLERY), None, answers.ItemPage),
    ([calls.galleries()], None, None),
    ([calls.get_gallery("g")], None, descriptions.Gallery),
    ([calls.create_gallery("g")], None, descriptions.Gallery),
    ([calls.delete_gallery("g")], None, None),
    ([calls.models()], None, None),
    ([calls.get_model("a")], None, descriptions.Model),
    ([calls.load("a", {})], None, descriptions.Model),
    ([calls.unload("a")], None, None),
    ([calls.health(what) for what in ("live", "ready", "startup")], None, None),
]
"""Each question, with what may be sent and what is answered."""

ONE_BY_ONE = [(call, sent, kind) for group, sent, kind in CALLS for call in group]


@cache
def document() -> dict[str, Any]:
    def unused(settings: Settings) -> Service:
        raise AssertionError("only the document is wanted")

    return create_app(Settings(), load=unused).openapi()


def operation(call: Call[Any]) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][call.route][call.method.lower()]
    return found


def name_of(call: Call[Any]) -> str:
    return f"{call.method} {call.route}"


def test_every_route_is_in_the_client_or_named_as_left_out() -> None:
    theirs = {f"{method.upper()} {path}" for path, own in document()["paths"].items() for method in own}
    assert {name_of(call) for call, _, _ in ONE_BY_ONE} == theirs - NOT_IN_THE_CLIENT.keys()
    assert theirs >= NOT_IN_THE_CLIENT.keys()


def test_every_call_is_among_those_that_are_compared() -> None:
    made = {
        name
        for name, value in vars(calls).items()
        if inspect.isfunction(value) and value.__module__ == calls.__name__ and not name.startswith("_")
    }
    assert made <= set(re.findall(r"calls\.(\w+)", Path(__file__).read_text(encoding="utf-8")))


@pytest.mark.parametrize("call", [call for call, _, _ in ONE_BY_ONE], ids=name_of)
def test_names_and_query_of_a_call_are_those_of_its_route(call: Call[Any]) -> None:
    parameters = operation(call).get("parameters", [])
    assert set(call.names) == {own["name"] for own in parameters if own["in"] == "path"}
    assert set(call.query) <= {own["name"] for own in parameters if own["in"] == "query"}


@pytest.mark.parametrize(
    ("call", "sent"),
    [(call, sent) for call, sent, _ in ONE_BY_ONE if sent is not None],
    ids=lambda value: getattr(value, "route", ""),
)
def test_what_may_be_sent_is_what_the_route_takes(call: Call[Any], sent: type) -> None:
    content = operation(call)["requestBody"]["content"]
    of_methods = {"/classify": {"labels"}, "/transcribe": {"audio"}}  # arguments of their own
    known = set(typing.get_type_hints(sent)) | of_methods.get(f"/{call.route.rpartition('/')[2]}", set())
    for form in ("application/json", "multipart/form-data"):
        theirs = set(content[form]["schema"]["properties"])
        assert known == theirs - BY_METHOD.get(sent, set()), form


def test_the_items_of_batches_are_those_of_the_client() -> None:
    batches = {"/predict/batch": fields.PredictFields, "/items:batch": fields.ItemChange}
    for route, sent in batches.items():
        schema = document()["paths"][route]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(typing.get_type_hints(sent)) == set(schema["properties"]["items"]["items"]["properties"])
    for end, known in (("load", {"version", "current", "keep"}), ("unload", {"version"})):
        body = document()["paths"][f"/models/{{name}}/{end}"]["post"]["requestBody"]["content"]
        assert set(body["application/json"]["schema"]["properties"]) == known
        assert known | {"self", "name"} == set(inspect.signature(getattr(Client, end)).parameters)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return document()["components"]["schemas"][name] if name else schema


def compare(kind: Any, schema: dict[str, Any], place: str) -> None:
    """The annotation `kind` reads everything that `schema` may answer, and nothing more."""
    schema = resolved(schema)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    branches = [branch for branch in schema.get("anyOf", []) if branch.get("type") != "null"]
    nullable = len(branches) < len(schema.get("anyOf", []))
    if origin in (types.UnionType, typing.Union):
        others = [argument for argument in arguments if argument is not types.NoneType]
        assert not nullable or types.NoneType in arguments, place
        if len(others) == 1:
            compare(others[0], branches[0] if branches else schema, place)
        return
    assert not nullable, f"{place} may be null"
    schema = resolved(branches[0]) if branches else schema
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        assert set(hints) == set(schema["properties"]), place
        must = {
            own.name
            for own in dataclasses.fields(kind)
            if own.default is dataclasses.MISSING and own.default_factory is dataclasses.MISSING
        }
        assert must == set(schema.get("required", [])), place
        for name, hint in hints.items():
            compare(hint, schema["properties"][name], f"{place}.{name}")
    elif origin is tuple:
        for argument, own in zip(arguments, schema["prefixItems"], strict=True):
            compare(argument, own, place)
    elif origin is list:
        assert schema["type"] == "array", place
        compare(arguments[0], schema["items"], f"{place}[]")
    elif origin is dict:
        assert schema["type"] == "object", place
        if arguments[1] is not Any:
            compare(arguments[1], schema["additionalProperties"], f"{place}{{}}")
    else:
        assert schema["type"] == {str: "string", int: "integer", float: "number", bool: "boolean"}[kind], place


@pytest.mark.parametrize(
    ("call", "kind"),
    [(call, kind) for call, _, kind in ONE_BY_ONE if kind is not None],
    ids=lambda value: getattr(value, "route", ""),
)
def test_what_is_read_is_what_the_route_answers(call: Call[Any], kind: type) -> None:
    compare(kind, operation(call)["responses"]["200"]["content"]["application/json"]["schema"], kind.__name__)


def test_lists_are_of_what_the_routes_answer() -> None:
    for name, kind in (("GalleriesResponse", descriptions.Gallery), ("ModelsResponse", descriptions.Model)):
        [(member, schema)] = document()["components"]["schemas"][name]["properties"].items()
        compare(list[kind], schema, member)  # type: ignore[valid-type]


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(kind: type) -> dict[str, list[tuple[str, Any]]]:
        return {
            name: [(own.name, own.default) for own in inspect.signature(value).parameters.values()]
            for name, value in vars(kind).items()
            if inspect.isfunction(value) and not name.startswith("__")
        }

    assert methods(Client) == methods(AsyncClient)
