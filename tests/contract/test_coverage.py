"""The field `coverage`: sets of labels in the answer, and a problem where a model cannot give them."""

import base64
import json
from typing import Any

import httpx
import pytest

from tests.fakes import image_file

RED = image_file("red")
RED64 = base64.b64encode(RED).decode()
TOP_LEVEL = {"model", "modalities_used", "classes", "matches", "request_id"}


def predict(client: httpx.Client, path: str = "/predict", **fields: object) -> httpx.Response:
    return client.post(path, json=fields)


def test_without_the_field_the_answer_has_just_the_keys_of_the_contract(client: httpx.Client) -> None:
    for absent in ({}, {"coverage": None}, {"coverage": ""}):
        assert set(predict(client, text="red", **absent).json()) == TOP_LEVEL
    (result,) = client.post("/predict/batch", json={"items": [{"text": "red"}]}).json()["results"]
    assert set(result) == TOP_LEVEL | {"status"}


@pytest.mark.parametrize(
    ("coverage", "shape", "colour"),
    [
        # Of "red", `colour` has red 0.993 and blue 0.007; `shape` knows nothing: a third each.
        (0.7, ["circle"], ["red"]),  # a label needs 0.4
        (0.8, ["circle", "square", "star"], ["red"]),  # 0.2
        (0.9, ["circle", "square", "star"], ["red", "blue"]),  # 0.005
        (0.95, ["circle", "square", "star"], ["red", "blue"]),  # nine rows are too few: all labels
    ],
)
def test_a_set_holds_every_label_that_is_probable_enough(
    client: httpx.Client, coverage: float, shape: list[str], colour: list[str]
) -> None:
    body = predict(client, text="red", coverage=coverage, num_labels=1).json()
    assert set(body) == TOP_LEVEL | {"coverage", "prediction_sets"}
    assert body["coverage"] == coverage
    assert body["prediction_sets"] == {"shape": shape, "colour": colour}
    assert len(body["classes"]["shape"]) == 1


def test_the_three_media_types_and_a_batch_give_equal_sets(client: httpx.Client) -> None:
    fields: dict[str, Any] = {"text": "a blue star", "coverage": 0.8}
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    answers = [
        predict(client, image=RED64, **fields),
        client.post("/predict", files={"image": ("red.png", RED)}, data=text),
        client.post("/predict", content=RED, headers={"Content-Type": "image/png"}, params=text),
        predict(client, "/models/fashion/versions/2/predict", image=RED64, **fields),
    ]
    items = client.post("/predict/batch", json={"items": [{"image": RED64, **fields}]}).json()["results"]
    sets = [body["prediction_sets"] for body in (*(answer.json() for answer in answers), *items)]
    assert sets == [sets[0]] * 5
    assert set(sets[0]) == {"shape", "colour"}


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 1.5, 90, "0.9", True, [0.9], {"at_least": 0.9}])
def test_a_wrong_value_is_a_problem_that_names_the_field(client: httpx.Client, coverage: object) -> None:
    answer = predict(client, text="red", coverage=coverage)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["field"] == "coverage"


@pytest.mark.parametrize("value", ["1", "NaN", "Infinity", "nine tenths"])
def test_a_wrong_value_of_a_form_or_a_query_is_too(client: httpx.Client, value: str) -> None:
    form = client.post("/predict", files={"image": ("red.png", RED)}, data={"coverage": value})
    query = client.post("/predict", content=RED, headers={"Content-Type": "image/png"}, params={"coverage": value})
    for answer in (form, query):
        assert (answer.status_code, answer.json()["field"]) == (422, "coverage")


@pytest.mark.parametrize(
    ("path", "fields", "says"),
    [
        ("/predict", {"image": RED64}, "from image."),  # no rows of images alone were fitted
        ("/models/fashion/versions/1/predict", {"text": "red"}, "from text."),  # as an older checkpoint
        ("/models/words/predict", {"text": "red"}, "from text."),
    ],
)
def test_what_has_no_sets_is_told_with_the_remedy(
    client: httpx.Client, path: str, fields: dict[str, Any], says: str
) -> None:
    assert predict(client, path, **fields).status_code == 200
    answer = predict(client, path, coverage=0.9, **fields)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["field"] == "coverage"
    assert says in problem["detail"]
    assert "Leave the field out" in problem["detail"]


def test_an_item_of_a_batch_without_sets_fails_alone(client: httpx.Client) -> None:
    items = [{"image": RED64, "coverage": 0.9}, {"text": "red", "coverage": 0.9}, {"text": "red", "coverage": 2}]
    results = client.post("/predict/batch", json={"items": items}).json()["results"]
    assert [result["status"] for result in results] == [422, 200, 422]
    assert results[0]["problem"]["field"] == results[2]["problem"]["field"] == "coverage"


def test_the_other_routes_do_not_know_the_field(client: httpx.Client) -> None:
    for path in ("/embed", "/search"):
        answer = predict(client, path, text="red", coverage=0.9)
        assert (answer.status_code, answer.json()["field"]) == (422, "coverage")
