"""The OpenAPI document: what it states by hand, and that no request made from it breaks the service."""

from collections.abc import Iterator
from functools import partial

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation

from app.body import FORM, JSON
from app.main import create_app
from app.service import Service
from app.settings import Settings
from tests.fake_captions import make_writing_service
from tests.fakes import make_hearing_service, serving


def test_the_document_states_every_media_type(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path in ("/predict", "/models/{name}/predict", "/models/{name}/versions/{version}/predict", "/embed"):
        operation = document["paths"][path]["post"]
        assert set(operation["requestBody"]["content"]) == {JSON, FORM, "image/*", "audio/*"}
        assert "application/problem+json" in operation["responses"]["422"]["content"]
        named = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
        assert all(f"{{{name}}}" in path for name in named)
        assert path.count("{") == len(named)


def test_an_object_in_a_form_or_a_query_is_a_text_of_json_whose_schema_is_inside(client: httpx.Client) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    fields = {kind: operation["requestBody"]["content"][kind]["schema"]["properties"] for kind in (JSON, FORM)}
    [query] = [one["schema"] for one in operation["parameters"] if one["name"] == "sensors"]
    whole = fields[JSON]["sensors"]
    words = whole.pop("description")
    text = {"type": "string", "contentMediaType": JSON, "contentSchema": whole, "description": words}
    assert fields[FORM]["sensors"] == query == text


def operations() -> list[APIOperation]:
    def unused(settings: Settings) -> Service:
        raise AssertionError("only the document is wanted")

    schema = schemathesis.openapi.from_dict(create_app(Settings(), load=unused).openapi())
    return [result.ok() for result in schema.get_all_operations()]


def send(client: httpx.Client, operation: APIOperation, mode: GenerationMode) -> None:
    """Send generated requests until one is answered with a fault of the service's own."""

    @hypothesis.settings(max_examples=15, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        assert case.call(base_url=str(client.base_url)).status_code < 500

    check()


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_no_valid_request_breaks_the_service(client: httpx.Client, operation: APIOperation) -> None:
    send(client, operation, GenerationMode.POSITIVE)


@pytest.mark.parametrize(
    "operation",
    [operation for operation in operations() if operation.method == "post"],
    ids=lambda operation: operation.label,
)
def test_no_invalid_request_breaks_the_service(client: httpx.Client, operation: APIOperation) -> None:
    send(client, operation, GenerationMode.NEGATIVE)


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service whose default model knows recordings."""
    folder = tmp_path_factory.mktemp("hearing")
    with serving(Settings(num_workers=2), partial(make_hearing_service, folder, first="speech")) as client:
        yield client


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(
    "operation",
    [operation for operation in operations() if operation.path in ("/predict", "/embed", "/transcribe")],
    ids=lambda operation: operation.label,
)
def test_no_request_breaks_a_service_that_hears(
    hearing: httpx.Client, operation: APIOperation, mode: GenerationMode
) -> None:
    send(hearing, operation, mode)


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service whose default model writes texts."""
    folder = tmp_path_factory.mktemp("writing")
    with serving(Settings(num_workers=2), partial(make_writing_service, folder, first="scribe")) as client:
        yield client


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(
    "operation",
    [operation for operation in operations() if operation.path in ("/predict", "/generate")],
    ids=lambda operation: operation.label,
)
def test_no_request_breaks_a_service_that_writes(
    writing: httpx.Client, operation: APIOperation, mode: GenerationMode
) -> None:
    send(writing, operation, mode)
