"""/generate by a small real network: over HTTP the very texts of the captioner, whoever else is written about."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import httpx
import pytest

from app.served import Model
from app.service import Service
from app.settings import Settings
from models.batch import Batch
from models.caption import Writing
from models.captioner import Captioner
from models.engine import Encoded
from models.sample import Sample
from tests.fakes import serving
from tests.models.test_captioner import captioner, predictor
from tests.tiny import image_file, picture

PNG = {"Content-Type": "image/png"}
ASKED: tuple[tuple[int, dict[str, Any]], ...] = (
    (0, {}),
    (1, {"num_beams": 3}),
    (2, {"temperature": 1.0, "seed": 7}),
    (3, {"text": "a red"}),
    (4, {"max_tokens": 2}),
    (5, {"num_beams": 2, "text": "one large red star"}),
)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(Settings(num_workers=2), lambda settings: Service([Model(predictor())], settings)) as client:
        yield client


@cache
def pixels(number: int) -> bytes:
    return image_file(picture(number))


def expected(number: int, asked: dict[str, Any]) -> str:
    options = dict(asked)
    prompt = options.pop("text", "")
    example = predictor().prepare(Sample(image=picture(number)))
    return captioner().caption([example], [Writing(**options)], [prompt])[0].text


def ask(client: httpx.Client, number: int, asked: dict[str, Any], **more: Any) -> httpx.Response:
    return client.post("/generate", content=pixels(number), headers=PNG, params={**asked, **more})


@pytest.mark.parametrize(("number", "asked"), ASKED)
def test_a_text_is_the_captioner_s(client: httpx.Client, number: int, asked: dict[str, Any]) -> None:
    body = ask(client, number, asked).json()
    assert body["text"] == expected(number, asked)
    assert body["score"] < 0


@pytest.mark.parametrize(("number", "asked"), ASKED)
def test_the_pieces_of_a_stream_are_the_text(client: httpx.Client, number: int, asked: dict[str, Any]) -> None:
    blocks = ask(client, number, asked, stream="true").text.strip().split("\n\n")
    pieces = [json.loads(block.removeprefix("data: "))["text"] for block in blocks if block.startswith("data: ")]
    assert "".join(pieces) == expected(number, asked)
    assert json.loads(blocks[-1].removeprefix("event: done\ndata: "))["text"] == "".join(pieces)


def test_many_at_once_are_written_as_alone(client: httpx.Client) -> None:
    rows = [*ASKED, *ASKED, *ASKED]
    with ThreadPoolExecutor(len(rows)) as pool:
        answers = list(pool.map(lambda row: ask(client, *row).json()["text"], rows))
    assert answers == [expected(*row) for row in rows]


def test_a_prediction_s_caption_is_the_greedy_text(client: httpx.Client) -> None:
    body = client.post("/predict", content=pixels(1), headers=PNG, params={"caption": "true"}).json()
    assert body["caption"]["text"] == expected(1, {})
    assert set(body["classes"])


@pytest.mark.parametrize("number", [0, 3])
def test_an_item_with_a_caption_is_encoded_once(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    engine = predictor().engine
    seen: list[int] = []
    encode = engine.encode

    def counted(batch: Batch) -> Encoded:
        seen.append(len(batch))
        return encode(batch)

    monkeypatch.setattr(engine, "encode", counted)
    answer = client.post("/predict", content=pixels(number), headers=PNG, params={"caption": "true"})
    assert seen == [1]
    assert answer.json()["caption"]["text"] == expected(number, {})
    stages = [part.split(";")[0] for part in answer.headers["Server-Timing"].split(", ")]
    assert stages == ["read", "decode", "queue", "encode", "fuse", "generate"]


def test_an_explained_item_has_its_caption_from_the_pass_that_is_explained(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(*_: object) -> None:
        raise AssertionError("the scribes encode what was encoded")

    monkeypatch.setattr(Captioner, "_encode", encode)
    asked = {"caption": "true", "explain": "true"}
    body = client.post("/predict", content=pixels(2), headers=PNG, params=asked).json()
    monkeypatch.undo()
    assert body["caption"]["text"] == expected(2, {})
    assert body["explanation"]


def test_captions_of_a_batch_are_those_of_each_alone(client: httpx.Client) -> None:
    items = [{"image": base64.b64encode(pixels(number)).decode(), "caption": True} for number in range(6)]
    items[3]["caption"] = False
    results = client.post("/predict/batch", json={"items": items}).json()["results"]
    assert "caption" not in results[3]
    for number in (0, 1, 2, 4, 5):
        assert results[number]["caption"]["text"] == expected(number, {})


def test_where_there_is_nothing_to_write_about_a_prediction_with_a_caption_is_refused(
    client: httpx.Client,
) -> None:
    answer = client.post("/predict", json={"text": "red", "caption": True})
    assert (answer.status_code, answer.json()["field"]) == (422, "image")


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"text": "red " * 40}, "text", "Send fewer words"),
        ({"text": "red"}, "image", "nothing to write about"),
    ],
)
def test_what_the_head_cannot_do_is_refused(
    client: httpx.Client, fields: dict[str, Any], field: str, says: str
) -> None:
    path = "/generate"
    if field == "text":
        answer = client.post(path, content=pixels(0), headers=PNG, params=fields)
    else:
        answer = client.post(path, json=fields)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert says in answer.json()["detail"]


def test_the_model_is_described(client: httpx.Client) -> None:
    (model,) = client.get("/models").json()["models"]
    assert model["generates"] is True
    assert model["caption"] == {"reads": ["image"], "continues_text_alone": False, "max_tokens": 12}
