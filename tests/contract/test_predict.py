"""/predict and its kin: equal answers by every media type, and a problem for every fault."""

import base64
import json
import socket
from typing import Any

import httpx
import pytest

from app.schemas.predict import BatchResponse, PredictResponse
from tests.fakes import image_file

RED = image_file("red")
RED64 = base64.b64encode(RED).decode()


def without_id(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name != "request_id"}


def test_the_answer_has_the_shape_of_the_contract(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"image": RED64, "text": "red"})
    body = answer.json()
    assert body["model"] == {"name": "fashion", "version": 2}
    assert body["modalities_used"] == ["image", "text"]
    assert [score["label"] for score in body["classes"]["colour"]] == ["red", "blue"]
    for scores in body["classes"].values():
        assert sum(score["score"] for score in scores) == pytest.approx(1, abs=1e-5)
    assert body["matches"][0] == {
        "id": "red",
        "score": pytest.approx(1, abs=1e-3),
        "text": "red",
        "labels": {"colour": "red", "tags": ["warm", "loud"]},
        "metadata": {"year": 2015},
        "image_url": "/galleries/fashion/items/red/image",
    }
    assert [match["score"] for match in body["matches"]] == sorted(
        (match["score"] for match in body["matches"]), reverse=True
    )
    assert body["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": "a blue star"},
        {"num_labels": 1, "top_k": 2},
        {"num_labels": 0, "retrieve": False},
        {"target": "image", "filter": {"labels.colour": "red"}, "gallery": "fashion"},
    ],
)
def test_three_media_types_give_equal_answers(client: httpx.Client, fields: dict[str, Any]) -> None:
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    by_json = client.post("/predict", json={"image": RED64, **fields})
    by_uri = client.post("/predict", json={"image": f"data:image/png;base64,{RED64}", **fields})
    by_form = client.post("/predict", files={"image": ("red.png", RED)}, data=text)
    bare = client.post("/predict", content=RED, headers={"Content-Type": "image/png"}, params=text)
    expected = without_id(by_json)
    assert without_id(by_uri) == without_id(by_form) == without_id(bare) == expected


@pytest.mark.parametrize(
    "absent", [{}, {"image": None}, {"image": ""}, {"image": "", "top_k": None, "filter": "", "audio": None}]
)
def test_null_and_empty_and_absent_are_the_same(client: httpx.Client, absent: dict[str, Any]) -> None:
    expected = without_id(client.post("/predict", json={"text": "red"}))
    assert expected["modalities_used"] == ["text"]
    assert without_id(client.post("/predict", json={"text": "red", **absent})) == expected
    form = dict.fromkeys(absent, "")
    nameless = {"image": ("", b"")}
    assert without_id(client.post("/predict", data={"text": "red", **form}, files=nameless)) == expected


@pytest.mark.parametrize("options", [{}, {"num_labels": 0, "coverage": 0.9}, {"retrieve": False}])
def test_the_answer_is_what_its_schema_describes(client: httpx.Client, options: dict[str, Any]) -> None:
    fields = {"image": base64.b64encode(image_file("red")).decode(), "text": "red thing", **options}
    answer = client.post("/predict", json=fields).json()
    assert PredictResponse.model_validate(answer).model_dump(mode="json") == answer
    batch = client.post("/predict/batch", json={"items": [fields, {"text": 1}]}).json()
    success, failure = BatchResponse.model_validate(batch).results
    assert success.model_dump(mode="json") == batch["results"][0]
    assert failure.model_dump(mode="json") == batch["results"][1]


def test_options_do_what_they_say(client: httpx.Client) -> None:
    def predict(**fields: object) -> dict[str, Any]:
        return client.post("/predict", json={"text": "red", **fields}).json()

    assert len(predict()["classes"]["shape"]) == 3
    assert len(predict(num_labels=1)["classes"]["shape"]) == 1
    assert len(predict(num_labels=0)["classes"]["shape"]) == 3
    assert predict(retrieve=False)["matches"] == []
    assert [match["id"] for match in predict(top_k=1)["matches"]] == ["red"]
    assert len(predict(top_k=1000)["matches"]) == 4
    assert {match["id"] for match in predict(target="image")["matches"]} == {"red", "blue/1", "a/image"}
    blue = predict(filter={"labels.colour": "blue"}, top_k=5)["matches"]
    assert {match["id"] for match in blue} == {"blue/1", "größe ☃?#"}


def test_models_and_versions_answer_by_their_paths(client: httpx.Client) -> None:
    for path, model in (
        ("/models/fashion/predict", {"name": "fashion", "version": 2}),
        ("/models/fashion/versions/1/predict", {"name": "fashion", "version": 1}),
        ("/models/words/predict", {"name": "words", "version": 1}),
    ):
        body = client.post(path, json={"text": "red"}).json()
        assert body["model"] == model
    assert body["matches"] == []  # `words` has no gallery


FAULTS: dict[str, tuple[int, dict[str, Any]]] = {
    "broken json": (400, {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    "deep json": (400, {"content": b"[" * 99999, "headers": {"Content-Type": "application/json"}}),
    "cut form": (400, {"content": b"--X\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=X"}}),
    "too many pixels": (413, {"json": {"image": base64.b64encode(image_file("red", side_px=7200)).decode()}}),
    "too many bytes": (413, {"content": b"x" * 32_000_001, "headers": {"Content-Type": "image/png"}}),
    "long text": (413, {"json": {"text": "a" * 10_001}}),
    "no media type": (415, {"content": b"x"}),
    "other media type": (415, {"data": {"text": "red"}}),
    "compressed": (415, {"json": {"text": "red"}, "headers": {"Content-Encoding": "gzip"}}),
    "no image": (415, {"files": {"image": ("a.png", b"no image at all")}}),
    "vector graphic": (415, {"content": b"<svg/>", "headers": {"Content-Type": "image/svg+xml"}}),
    "cut image": (422, {"files": {"image": ("a.png", RED[:50])}}),
    "empty file": (422, {"files": {"image": ("a.png", b"")}}),
    "nothing": (422, {"json": {}}),
    "no object": (422, {"json": []}),
    "unknown field": (422, {"json": {"text": "red", "topk": 1}}),
    "lone surrogate": (422, {"content": b'{"\\ud800": 1}', "headers": {"Content-Type": "application/json"}}),
    "twice": (422, {"files": [("image", ("a.png", RED)), ("image", ("b.png", RED))]}),
    "query beside json": (422, {"json": {"text": "red"}, "params": {"top_k": 1}}),
    "url": (422, {"json": {"image": {"url": "http://127.0.0.1/"}}}),
    "bad filter": (422, {"json": {"text": "red", "filter": {"colour": "red"}}}),
    "no such target": (422, {"json": {"text": "red", "target": "audio"}}),
    "another gallery": (422, {"json": {"text": "red", "gallery": "words"}}),
}


@pytest.mark.parametrize(("status", "request_"), FAULTS.values(), ids=FAULTS)
def test_every_fault_is_a_problem(client: httpx.Client, status: int, request_: dict[str, Any]) -> None:
    answer = client.post("/predict", **request_)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "request_id"} <= problem.keys()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-ID"]


def test_a_problem_names_field_fault_and_remedy(client: httpx.Client) -> None:
    problem = client.post("/predict", json={"text": "red", "topk": 1}).json()
    assert problem["field"] == "topk"
    assert problem["detail"] == "topk: unknown field here. Did you mean 'top_k'?"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/models/none/predict", 404),
        ("POST", "/models/fashion/versions/9/predict", 404),
        ("POST", "/models/fashion/versions/x/predict", 404),
        ("GET", "/models/none", 404),
        ("GET", "/galleries/none/items", 404),
        ("GET", "/galleries/words/items", 404),
        ("GET", "/galleries/fashion/items/none", 404),
        ("GET", "/galleries/fashion/items/none/image", 404),
        ("GET", "/predict", 405),
        ("GET", "/items?limit=0", 422),
        ("GET", "/items?limit=x", 422),
    ],
)
def test_paths_that_are_not_there_are_problems_too(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"]
    if status == 405:
        assert answer.headers["Allow"] == "POST"


def test_an_image_for_a_model_of_words_is_refused(client: httpx.Client) -> None:
    answer = client.post("/models/words/predict", json={"image": RED64, "text": "red"})
    assert answer.status_code == 422
    assert "It knows: text" in answer.json()["detail"]


def test_a_body_without_a_length_is_limited_while_it_streams(client: httpx.Client) -> None:
    def endless() -> Any:
        for _ in range(50):
            yield b"x" * 1_000_000

    answer = client.post("/predict", content=endless(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 413


def test_a_client_that_waits_for_100_is_refused_before_it_sends(client: httpx.Client) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        b"Content-Length: 99000000\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_batch_keeps_order_and_each_item_fails_for_itself(client: httpx.Client) -> None:
    broken = base64.b64encode(RED[:50]).decode()
    items = [{"text": "red"}, {"image": broken}, {}, {"image": RED64, "top_k": 1}, {"text": "star star star"}, 5]
    answer = client.post("/predict/batch", json={"items": items})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [200, 422, 422, 200, 500, 422]
    single = without_id(client.post("/predict", json=items[0]))
    assert {name: results[0][name] for name in single} == single
    assert len(results[3]["matches"]) == 1
    assert results[1]["problem"]["field"] == "image"
    assert results[4]["problem"]["detail"] == "The service failed. The log has more under this request_id."


def test_a_batch_itself_has_limits(client: httpx.Client) -> None:
    assert client.post("/predict/batch", json={"items": [{"text": "red"}] * 1000}).status_code == 200
    assert client.post("/predict/batch", json={"items": [{"text": "red"}] * 1001}).status_code == 413
    assert client.post("/predict/batch", json={"items": []}).status_code == 422
    assert client.post("/predict/batch", json={"item": []}).status_code == 422
    assert client.post("/predict/batch", data={"items": "[]"}).status_code == 415


def test_embed_gives_a_unit_vector_by_every_media_type(client: httpx.Client) -> None:
    by_json = client.post("/embed", json={"image": RED64, "text": "red"})
    body = without_id(by_json)
    assert body["dimensions"] == len(body["embedding"]) == 8
    assert sum(value**2 for value in body["embedding"]) == pytest.approx(1, abs=1e-5)
    assert body["model"] == {"name": "fashion", "version": 2}
    by_form = client.post("/embed", files={"image": ("red.png", RED)}, data={"text": "red"})
    bare = client.post("/embed", content=RED, headers={"Content-Type": "image/png"}, params={"text": "red"})
    assert without_id(by_form) == without_id(bare) == body
    assert client.post("/embed", json={"text": "red", "top_k": 1}).status_code == 422
