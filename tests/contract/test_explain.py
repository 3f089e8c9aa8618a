"""The field `explain`: what the answer rests on, by any of the media types, and without starving anybody."""

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from models.batch import Batch
from models.engine import Encoded
from tests.contract.conftest import Start
from tests.fakes import FakeEngine, image_file

RED = image_file("red")
RED64 = base64.b64encode(RED).decode()
TOP_LEVEL = {"model", "modalities_used", "classes", "matches", "request_id"}


def predict(client: httpx.Client, path: str = "/predict", **fields: object) -> httpx.Response:
    return client.post(path, json=fields)


def test_without_the_field_the_answer_has_just_the_keys_of_the_contract(client: httpx.Client) -> None:
    for absent in ({}, {"explain": None}, {"explain": ""}, {"explain": False}):
        assert set(predict(client, text="red", **absent).json()) == TOP_LEVEL


def test_contributions_and_base_sum_to_the_score(client: httpx.Client) -> None:
    body = predict(client, image=RED64, text="a red star", explain=True).json()
    assert set(body) == TOP_LEVEL | {"explanation"}
    assert set(body["explanation"]) == set(body["classes"]) == {"shape", "colour"}
    for head, found in body["explanation"].items():
        first = body["classes"][head][0]
        assert found["label"] == first["label"]
        assert set(found["contributions"]) == {"image", "text"}
        assert found["base"] + sum(found["contributions"].values()) == pytest.approx(first["score"], abs=5e-6)
    assert body["explanation"]["shape"]["base"] == pytest.approx(1 / 3, abs=1e-6)


def test_the_map_and_the_words_are_placed(client: httpx.Client) -> None:
    found = predict(client, image=RED64, text="  red, 🙂 star", explain=True).json()["explanation"]["colour"]
    cells = found["image_map"]
    assert (cells["rows"], cells["columns"], cells["box"]) == (7, 7, [0, 0, 1, 1])
    assert [len(row) for row in cells["values"]] == [7] * 7
    places = [(token["text"], token["start"], token["end"]) for token in found["tokens"]]
    assert places == [("red", 2, 5), (",", 5, 6), ("🙂", 7, 8), ("star", 9, 13)]
    weights = [token["weight"] for token in found["tokens"]]
    assert weights[0] == max(weights) > 0


def test_only_what_was_sent_is_explained(client: httpx.Client) -> None:
    text = predict(client, text="red", explain=True).json()["explanation"]["colour"]
    assert set(text) == {"label", "base", "contributions", "tokens"}
    image = predict(client, image=RED64, explain=True).json()["explanation"]["colour"]
    assert set(image) == {"label", "base", "contributions", "image_map"}


def test_the_three_media_types_and_a_batch_explain_alike(client: httpx.Client) -> None:
    text = {"text": "a blue star", "explain": "true"}
    json_fields: dict[str, Any] = {"image": RED64, "text": "a blue star", "explain": True}
    answers = [
        predict(client, **json_fields),
        client.post("/predict", files={"image": ("red.png", RED)}, data=text),
        client.post("/predict", content=RED, headers={"Content-Type": "image/png"}, params=text),
        predict(client, "/models/fashion/versions/2/predict", **json_fields),
    ]
    results = client.post("/predict/batch", json={"items": [json_fields] * 3}).json()["results"]
    found = [body["explanation"] for body in (*(answer.json() for answer in answers), *results)]
    assert found == [found[0]] * 7


def test_its_time_is_told(client: httpx.Client) -> None:
    header = predict(client, text="red", explain=True).headers["Server-Timing"]
    assert "explain;dur=" in header
    assert "explain;dur=" not in predict(client, text="red").headers["Server-Timing"]


def test_a_wrong_value_names_the_field_and_other_routes_do_not_know_it(client: httpx.Client) -> None:
    for value in ("yes", 1, [True]):
        answer = predict(client, text="red", explain=value)
        assert (answer.status_code, answer.json()["field"]) == (422, "explain")
    for path in ("/embed", "/search"):
        assert predict(client, path, text="red", explain=True).json()["field"] == "explain"


def test_the_settings_bound_how_finely(start: Start) -> None:
    client = start(explain_cells=3, max_explain_words=2)
    found = predict(client, image=RED64, text="red star blue star", explain=True).json()["explanation"]["colour"]
    assert found["image_map"]["rows"] == 3
    assert [token["text"] for token in found["tokens"]] == ["red star", "blue star"]
    none = predict(start(explain_cells=0, max_explain_words=0), image=RED64, text="red", explain=True).json()
    assert set(none["explanation"]["colour"]) == {"label", "base", "contributions"}


class Recorded(FakeEngine):
    """Notes what each pass is of, and may halt before one."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[tuple[str, ...]] = []
        self.halt_before = -1
        self.halted, self.go_on = threading.Event(), threading.Event()

    def encode(self, batch: Batch) -> Encoded:
        if len(self.passes) == self.halt_before:
            self.halted.set()
            assert self.go_on.wait(10)
        self.passes.append(tuple(batch.inputs))
        return super().encode(batch)


@pytest.fixture
def engine() -> Recorded:
    return Recorded()


def wait_for(client: httpx.Client, num_items: int) -> None:
    """Until so many wait for a pass."""
    end = time.monotonic() + 10
    while f'intermodal_queue_items{{queue="forward"}} {num_items}.0' not in client.get("/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.clock
def test_another_request_takes_its_turn_between_the_variations(start: Start, engine: Recorded) -> None:
    client = start(max_batch_items=1)
    engine.passes.clear()
    engine.halt_before = 5  # the fourth variation
    with ThreadPoolExecutor(2) as threads:
        explained = threads.submit(predict, client, image=RED64, explain=True)
        assert engine.halted.wait(10)
        wait_for(client, 0)  # one worker, so one variation at once
        other = threads.submit(predict, client, text="star")
        wait_for(client, 1)
        engine.go_on.set()
        assert (explained.result().status_code, other.result().status_code) == (200, 200)
    assert engine.passes.count(("image",)) == 1 + 25
    assert engine.passes.index(("text",)) <= 7


def test_more_than_the_time_allows_is_refused_before_any_work(start: Start, engine: Recorded) -> None:
    client = start(max_batch_items=1)
    slow = engine.encode

    def encode(batch: Batch) -> Encoded:
        threading.Event().wait(0.05)
        return slow(batch)

    engine.encode = encode  # type: ignore[method-assign]
    for _ in range(20):
        predict(client, text="red", retrieve=False)
    num_passes = len(engine.passes)
    # 25 windows of some 50 ms take more than half of two seconds; one item does not.
    headers = {"X-Request-Timeout-Ms": "2000"}
    refused = client.post("/predict", json={"image": RED64, "explain": True}, headers=headers)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert len(engine.passes) == num_passes
    assert client.post("/predict", json={"image": RED64}, headers=headers).status_code == 200


def test_what_breaks_a_variation_is_told_as_elsewhere(start: Start, engine: Recorded) -> None:
    client = start()
    # Without "red" the text is what breaks every pass of the fake engine.
    answer = predict(client, text="red star star star", explain=True)
    assert answer.status_code == 500
    assert json.loads(answer.text)["title"] == "Internal Server Error"
    assert predict(client, text="red", explain=True).status_code == 200
