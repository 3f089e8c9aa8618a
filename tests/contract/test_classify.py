"""/classify: shares of labels that come with the request."""

import base64
from typing import Any

import httpx
import pytest

from tests.fakes import image_file

RED64 = base64.b64encode(image_file("red")).decode()


def test_shares_sum_to_one_and_the_nearest_comes_first(client: httpx.Client) -> None:
    answer = client.post("/classify", json={"text": "red", "labels": ["star", "red", "blue"]})
    assert answer.status_code == 200, answer.text
    labels = answer.json()["labels"]
    assert labels[0]["label"] == "red"
    assert sum(one["score"] for one in labels) == pytest.approx(1, abs=1e-5)
    assert [one["score"] for one in labels] == sorted((one["score"] for one in labels), reverse=True)
    assert answer.json()["model"] == {"name": "fashion", "version": 2}
    again = client.post("/classify", json={"text": "red", "labels": ["blue", "red", "star"]})  # known by now
    assert {one["label"]: one["score"] for one in again.json()["labels"]} == {
        one["label"]: one["score"] for one in labels
    }


def test_a_share_is_the_softmax_of_cosines_over_the_temperature(client: httpx.Client) -> None:
    def vector(text: str) -> list[float]:
        found: list[float] = client.post("/embed", json={"text": text}).json()["embedding"]
        return found

    query, one, other = vector("red"), vector("a star"), vector("a blue")
    cosines = [sum(a * b for a, b in zip(query, v, strict=True)) for v in (one, other)]
    fields = {"text": "red", "labels": ["star", "blue"], "template": "a {}", "temperature": 0.5}
    scores = {one["label"]: one["score"] for one in client.post("/classify", json=fields).json()["labels"]}
    ratio = 2.718281828 ** ((cosines[0] - cosines[1]) / 0.5)
    assert scores["star"] / scores["blue"] == pytest.approx(ratio, rel=1e-3)


def test_three_media_types_give_equal_answers(client: httpx.Client) -> None:
    labels = '["red", "blue"]'
    by_json = client.post("/classify", json={"image": RED64, "labels": ["red", "blue"]})
    by_form = client.post("/classify", files={"image": ("a.png", image_file("red"))}, data={"labels": labels})
    bare = client.post(
        "/classify", content=image_file("red"), headers={"Content-Type": "image/png"}, params={"labels": labels}
    )
    assert by_json.json()["labels"] == by_form.json()["labels"] == bare.json()["labels"]


def test_a_model_may_be_named(client: httpx.Client) -> None:
    fields = {"text": "red", "labels": ["red", "blue"], "model": "words"}
    assert client.post("/classify", json=fields).json()["model"]["name"] == "words"
    assert client.post("/classify", json={**fields, "model": "none"}).status_code == 404
    assert client.post("/classify", json={**fields, "image": RED64}).json()["field"] == "image"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"labels": ["a", "b"]}, "image or text or audio or sensors"),
        ({"text": "x"}, "labels"),
        ({"text": "x", "labels": "a"}, "labels"),
        ({"text": "x", "labels": ["a"]}, "labels"),
        ({"text": "x", "labels": ["a", "a"]}, "labels"),
        ({"text": "x", "labels": ["a", 1]}, "labels"),
        ({"text": "x", "labels": ["a", " "]}, "labels"),
        ({"text": "x", "labels": ["a", "b"], "template": "no"}, "template"),
        ({"text": "x", "labels": ["a", "b"], "template": "{} {}"}, "template"),
        ({"text": "x", "labels": ["a", "b"], "temperature": 0}, "temperature"),
    ],
)
def test_a_fault_names_the_field(client: httpx.Client, fields: dict[str, Any], field: str) -> None:
    answer = client.post("/classify", json=fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field


def test_too_many_labels_are_refused(client: httpx.Client) -> None:
    labels = [str(number) for number in range(1001)]
    assert client.post("/classify", json={"text": "x", "labels": labels}).status_code == 413
