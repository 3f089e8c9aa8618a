"""JSON can say half of a surrogate pair, which has no UTF-8: it is answered, whatever the answer repeats of it."""

import json
from typing import Any

import httpx
import pytest

from tests.frames import ask, stream

HALF = "\ud800"
TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["red"]}


def post(client: httpx.Client, path: str, fields: dict[str, Any]) -> httpx.Response:
    """Send fields as ASCII, as httpx would not."""
    return client.post(path, content=json.dumps(fields), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/predict", {"text": f"red {HALF}", "explain": True}),
        ("/classify", {"text": "red", "labels": [HALF, "red"]}),
        ("/predict/batch", {"items": [{"text": "red"}, {HALF: 1}]}),
        ("/v2/models/fashion/infer", {"id": HALF, "inputs": [TENSOR]}),
        ("/v1/embeddings", {"input": HALF}),
    ],
)
def test_an_answer_may_repeat_it(client: httpx.Client, path: str, fields: dict[str, Any]) -> None:
    response = post(client, path, fields)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    json.loads(response.content)


def test_the_answers_say_it_as_it_was_sent(client: httpx.Client) -> None:
    labels = json.loads(post(client, "/classify", {"text": "red", "labels": [HALF, "red"]}).content)["labels"]
    assert {one["label"] for one in labels} == {HALF, "red"}
    good, bad = json.loads(post(client, "/predict/batch", {"items": [{"text": "red"}, {HALF: 1}]}).content)[
        "results"
    ]
    assert (good["status"], bad["status"], bad["problem"]["field"]) == (200, 422, HALF)
    infer = post(client, "/v2/models/fashion/infer", {"id": HALF, "inputs": [TENSOR]})
    assert json.loads(infer.content)["id"] == HALF


def test_a_stream_goes_on_after_it(client: httpx.Client) -> None:
    with stream(client) as socket:
        found = ask(socket, {"id": HALF, "text": "red", "retrieve": False})
        assert (found["id"], found["status"]) == (HALF, 200)
        assert ask(socket, {"id": 1, HALF: 1})["status"] == 422
        assert ask(socket, {"id": 2, "text": "red"})["status"] == 200
