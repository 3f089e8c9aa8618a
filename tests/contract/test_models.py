"""POST /models/{name}/load and /unload, and what /models says of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.keys import hash_key
from app.main import create_app
from app.service import Service
from app.settings import Settings
from models.errors import CheckpointError
from tests.app.test_metrics import samples
from tests.fakes import FakeSource, make_source

KEY = "a-key-of-the-shop"
Start = Callable[..., AbstractContextManager[TestClient]]


def broken() -> Any:
    raise CheckpointError("checkpoints/fashion/3: weights.safetensors was altered. Restore it.")


@pytest.fixture
def source(tmp_path: Path) -> FakeSource:
    source = make_source(tmp_path)
    source.makers["fashion", 3] = broken
    return source


@pytest.fixture
def start(source: FakeSource) -> Start:
    """A client of a service that serves version 1 of `fashion`; versions 2 and 3 and `words` are on the disk."""

    @contextmanager
    def serve(host: str = "127.0.0.1", **values: object) -> Iterator[TestClient]:
        settings = Settings(num_workers=1, **values)
        app = create_app(
            settings, load=lambda settings: Service([source.makers["fashion", 1]()], settings, source)
        )
        with TestClient(app, "http://127.0.0.1:8000", client=(host, 50_000)) as client:
            yield client

    return serve


def described(client: TestClient) -> list[tuple[str, int, bool, bool, list[int], list[int]]]:
    keys = ("name", "version", "default", "current", "versions", "available")
    return [tuple(model[key] for key in keys) for model in client.get("/models").json()["models"]]


def test_a_version_is_loaded_becomes_current_and_brings_its_gallery(start: Start) -> None:
    with start() as client:
        assert described(client) == [("fashion", 1, True, True, [1], [1, 2, 3])]
        assert client.get("/items").status_code == 404
        answer = client.post("/models/fashion/load", json={"version": 2})
        assert answer.status_code == 200
        assert answer.json() == client.get("/models/fashion").json()
        assert described(client) == [("fashion", 2, True, True, [2], [1, 2, 3])]
        assert client.get("/items").json()["num_items"] == 4
        body = client.post("/predict", json={"text": "red"}).json()
        assert body["model"] == {"name": "fashion", "version": 2}
        assert body["matches"]
        assert client.post("/models/fashion/versions/1/predict", json={"text": "red"}).status_code == 404


def test_a_version_may_be_served_beside_the_current_one_and_then_swapped_in(
    start: Start, source: FakeSource
) -> None:
    with start() as client:
        answer = client.post("/models/fashion/load", json={"version": 2, "current": False})
        assert (answer.status_code, answer.json()["version"], answer.json()["current"]) == (200, 2, False)
        assert client.post("/predict", json={"text": "red"}).json()["model"]["version"] == 1
        beside = client.post("/models/fashion/versions/2/predict", json={"text": "red"}).json()
        assert beside["model"]["version"] == 2
        client.post("/models/fashion/load", json={"version": 2})
        assert described(client) == [("fashion", 2, True, True, [2], [1, 2, 3])]
        assert source.loaded == [("fashion", 2)]


def test_a_model_is_loaded_by_its_name_alone_and_unloaded(start: Start) -> None:
    with start() as client:
        assert client.post("/models/words/load").json()["version"] == 1
        assert client.post("/models/words/load", content=b"").status_code == 200
        assert client.post("/models/words/predict", json={"text": "red"}).status_code == 200
        left = client.post("/models/words/unload")
        assert left.status_code == 200
        assert left.json() == client.get("/models").json()
        assert client.post("/models/words/predict", json={"text": "red"}).status_code == 404
        assert client.post("/models/words/unload").status_code == 404


def test_a_broken_version_is_409_that_says_why_and_nothing_changes(start: Start) -> None:
    with start() as client:
        answer = client.post("/models/fashion/load")  # the newest is broken
        assert answer.status_code == 409
        assert answer.headers["Content-Type"] == "application/problem+json"
        detail = answer.json()["detail"]
        assert "fashion/3: weights.safetensors was altered" in detail
        assert "checkpoints/" not in detail
        assert described(client) == [("fashion", 1, True, True, [1], [1, 2, 3])]
        assert client.post("/predict", json={"text": "red"}).status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_the_last_version_of_the_default_model_is_not_unloaded(start: Start) -> None:
    with start() as client:
        for body in ({}, {"version": 1}):
            answer = client.post("/models/fashion/unload", json=body)
            assert answer.status_code == 409
            assert "default" in answer.json()["detail"]
        assert client.post("/predict", json={"text": "red"}).status_code == 200


@pytest.mark.parametrize("name", ["nowhere", "..%2Ffashion", "%2e%2e", ".", "fashion%00", "f%C3%A4shion"])
def test_a_model_that_is_not_there_is_404(start: Start, source: FakeSource, name: str) -> None:
    with start() as client:
        for action in ("load", "unload"):
            answer = client.post(f"/models/{name}/{action}", json={})
            assert answer.status_code in (404, 405)
            assert answer.headers["Content-Type"] == "application/problem+json"
        assert source.loaded == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": 0}, "version"),
        ({"version": "2"}, "version"),
        ({"version": 1.5}, "version"),
        ({"version": 10**30}, "version"),
        ({"versoin": 2}, "versoin"),
        ({"current": "no"}, "current"),
        ({"keep": 1}, "keep"),
        ([2], "body"),
    ],
)
def test_a_wrong_field_is_422_and_named(start: Start, source: FakeSource, body: object, field: str) -> None:
    with start() as client:
        answer = client.post("/models/fashion/load", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
        query = client.post("/models/fashion/load?version=2")
        assert (query.status_code, query.json()["field"]) == (422, "query")
        form = client.post("/models/fashion/load", data={"version": "2"})
        assert form.status_code == 415
        assert source.loaded == []


def test_loading_and_unloading_need_a_key_from_elsewhere(start: Start, source: FakeSource) -> None:
    with start("203.0.113.9", api_keys=hash_key(KEY.encode())) as client:
        for action in ("load", "unload"):
            answer = client.post(f"/models/words/{action}")
            assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")
        assert source.loaded == []
        headers = {"X-API-Key": KEY}
        assert client.post("/models/words/load", headers=headers).status_code == 200
        assert client.post("/models/words/unload", headers=headers).status_code == 200


def test_the_metrics_follow_what_is_loaded_and_count_what_became_of_it(start: Start) -> None:
    with start() as client:
        client.post("/models/fashion/load", json={"version": 2})
        client.post("/models/fashion/load", json={"version": 3})
        client.post("/models/words/load")
        found = samples(client)
        assert [key[1:] for key in found if key[0] == "intermodal_model_info"] == [
            ("cpu", "fake", "fashion", "2"),
            ("cpu", "fake", "words", "1"),
        ]
        assert found["intermodal_model_loads_total", "fashion", "loaded"] == 1
        assert found["intermodal_model_loads_total", "fashion", "refused"] == 1
        assert found["intermodal_model_loads_total", "words", "loaded"] == 1


def test_the_document_has_both_routes_with_a_body_that_may_be_left_out(start: Start) -> None:
    with start() as client:
        paths = client.get("/openapi.json").json()["paths"]
    for action, fields in (("load", {"version", "current", "keep"}), ("unload", {"version"})):
        operation = paths[f"/models/{{name}}/{action}"]["post"]
        assert operation["requestBody"]["required"] is False
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) == fields
        assert "application/problem+json" in operation["responses"]["409"]["content"]
        assert operation["security"]
