"""/transcribe: the shape of its answer, which model gives it, and what it refuses."""

import base64
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.schemas.transcribe import TranscribeResponse
from app.settings import Settings
from tests.fakes import FakeEngine, image_file, make_hearing_service, recording, serving

# Two tones of 0.2 s and what is quiet between them. By the fake engine, each is the word "a".
TWO = recording(0.0, 0.9, 0.9, 0.0, 0.0, 0.9, 0.9, 0.0)
EMPTY = recording()
SILENCE = recording(0.0, 0.0)
SETTINGS = Settings(num_workers=1)
WAV = {"Content-Type": "audio/wav"}


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory, engine: FakeEngine) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("hearing")
    with serving(
        Settings(num_workers=1), lambda settings: make_hearing_service(folder, settings, engine)
    ) as client:
        yield client


def test_the_answer_has_the_shape_of_the_contract(hearing: httpx.Client) -> None:
    answer = hearing.post("/transcribe", files={"audio": ("two.wav", TWO)})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    TranscribeResponse.model_validate(body)
    assert list(body) == ["text", "confidence", "words", "duration_seconds", "model", "request_id"]
    assert body["text"] == "a a"
    assert body["model"] == {"name": "speech", "version": 1}  # the default knows no recordings
    assert body["duration_seconds"] == 0.8
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert 0 < body["confidence"] <= 1
    first, second = body["words"]
    assert list(first) == ["text", "start", "end", "confidence"]
    assert first["text"] == second["text"] == "a"
    assert 0 <= first["start"] < first["end"] <= second["start"] < second["end"] <= 0.8


def test_every_media_type_gives_equal_answers(hearing: httpx.Client) -> None:
    fields: dict[str, Any] = {"num_beams": 1, "model": "speech"}
    text = {"num_beams": "1", "model": "speech"}
    encoded = base64.b64encode(TWO).decode()
    answers = [
        hearing.post("/transcribe", json={"audio": encoded, **fields}),
        hearing.post("/transcribe", json={"audio": f"data:audio/wav;base64,{encoded}", **fields}),
        hearing.post("/transcribe", files={"audio": ("two.wav", TWO)}, data=text),
        hearing.post("/transcribe", content=TWO, headers=WAV, params=text),
        hearing.post("/models/speech/transcribe", content=TWO, headers=WAV),
        hearing.post("/models/speech/versions/1/transcribe", content=TWO, headers=WAV),
    ]
    assert [answer.status_code for answer in answers] == [200] * 6
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)


def test_an_empty_recording_is_an_empty_text_without_a_forward_pass(
    hearing: httpx.Client, engine: FakeEngine
) -> None:
    before = len(engine.batches)
    answer = hearing.post("/transcribe", content=EMPTY, headers=WAV)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["text"], answer.json()["words"], answer.json()["duration_seconds"]) == ("", [], 0)
    assert len(engine.batches) == before
    silent = hearing.post("/transcribe", content=SILENCE, headers=WAV).json()
    assert (silent["text"], silent["duration_seconds"]) == ("", 0.2)
    assert len(engine.batches) == before


def test_alternatives_come_where_they_are_asked_for(hearing: httpx.Client) -> None:
    body = hearing.post("/transcribe", content=TWO, headers=WAV, params={"alternatives": 2}).json()
    assert 1 <= len(body["alternatives"]) <= 2
    assert set(body["alternatives"][0]) == {"text", "confidence"}


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"num_beams": 0}, "num_beams", "at most 64"),
        ({"num_beams": 65}, "num_beams", "at most 64"),
        ({"num_beams": 1.5}, "num_beams", "whole number"),
        ({"alternatives": 11}, "alternatives", "at most 10"),
        ({"alternatives": -1}, "alternatives", "at least 0"),
        ({"image": "AAAA"}, "image", "unknown field"),
        ({"text": "red"}, "text", "unknown field"),
        ({"audio": None}, "audio", "is missing. Send a recording"),
        ({"model": "fashion"}, "model", "does not transcribe. Ask one that does"),
    ],
)
def test_a_faulty_field_is_named(hearing: httpx.Client, fields: dict[str, Any], field: str, says: str) -> None:
    answer = hearing.post("/transcribe", json={"audio": base64.b64encode(TWO).decode(), **fields})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert says in answer.json()["detail"]


def test_a_model_is_found_by_its_path_or_its_field_and_not_by_both(hearing: httpx.Client) -> None:
    assert hearing.post("/models/fashion/transcribe", content=TWO, headers=WAV).status_code == 422
    assert hearing.post("/models/nobody/transcribe", content=TWO, headers=WAV).status_code == 404
    assert hearing.post("/transcribe", content=TWO, headers=WAV, params={"model": "nobody"}).status_code == 404
    assert hearing.post("/models/speech/versions/2/transcribe", content=TWO, headers=WAV).status_code == 404
    both = hearing.post("/models/speech/transcribe", content=TWO, headers=WAV, params={"model": "speech"})
    assert (both.status_code, both.json()["field"]) == (422, "model")


def test_where_no_model_transcribes_it_is_not_found(client: httpx.Client) -> None:
    answer = client.post("/transcribe", content=TWO, headers=WAV)
    assert answer.status_code == 404
    assert "Serve one with a head of transcripts" in answer.json()["detail"]


@pytest.mark.parametrize(("kind", "shown"), [("image/png", "'image/png'"), ("text/plain", "'text/plain'")])
def test_another_media_type_is_refused(hearing: httpx.Client, kind: str, shown: str) -> None:
    answer = hearing.post("/transcribe", content=image_file("red"), headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert f"{shown}. Send application/json or multipart/form-data or audio/*." in answer.json()["detail"]


def test_the_stages_are_told(hearing: httpx.Client) -> None:
    timing = hearing.post("/transcribe", content=TWO, headers=WAV).headers["Server-Timing"]
    stages = [part.partition(";")[0].strip() for part in timing.split(",")]
    assert [stage for stage in stages if stage != "total"] == ["read", "decode", "queue", "transcribe"]


def test_models_say_whether_they_transcribe(hearing: httpx.Client) -> None:
    models = {model["name"]: model for model in hearing.get("/models").json()["models"]}
    assert (models["speech"]["transcribes"], models["fashion"]["transcribes"]) == (True, False)
    assert models["speech"]["modalities"] == ["image", "text", "audio"]


def test_a_model_that_hears_no_more_is_not_ready_though_it_predicts(tmp_path: Path) -> None:
    engine = FakeEngine()
    with serving(SETTINGS, partial(make_hearing_service, tmp_path, engine=engine)) as client:
        engine.deaf = True
        answer = client.post("/transcribe", content=TWO, headers=WAV)
        assert (answer.status_code, answer.json()["title"]) == (500, "Internal Server Error")
        assert client.post("/models/speech/predict", json={"text": "red"}).status_code == 200
        assert client.post("/transcribe", content=TWO, headers=WAV).status_code == 500
        assert client.post("/transcribe", content=EMPTY, headers=WAV).status_code == 200  # and says nothing of it
        assert client.get("/health/ready").status_code == 503
        engine.deaf = False
        assert client.get("/health/ready").status_code == 200


def test_what_beam_search_needs_may_be_missing_and_the_model_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder", None)
    with serving(SETTINGS, partial(make_hearing_service, tmp_path)) as client:
        answer = client.post("/transcribe", content=TWO, headers=WAV, params={"num_beams": 4})
        assert (answer.status_code, answer.json()["field"]) == (422, "num_beams")
        assert "need the package flashlight-text" in answer.json()["detail"]
        assert client.get("/health/ready").status_code == 200
        assert client.post("/transcribe", content=TWO, headers=WAV).json()["text"] == "a a"


@pytest.mark.clock
def test_several_at_once_are_answered_as_alone(tmp_path: Path) -> None:
    engine = FakeEngine()
    recordings = [TWO, recording(0.9), SILENCE, recording(0.0, 0.9, 0.0), EMPTY]

    def ask(data: bytes) -> dict[str, Any]:
        return {**client.post("/transcribe", content=data, headers=WAV).json(), "request_id": ""}

    load = partial(make_hearing_service, tmp_path, engine=engine)
    with serving(SETTINGS, load) as client, ThreadPoolExecutor(8) as pool:
        alone = [ask(data) for data in recordings]
        engine.open.clear()
        try:
            together = [pool.submit(ask, data) for data in [TWO, *recordings]]
            eventually(lambda: "requests_in_flight 5.0" in client.get("/metrics").text)  # with this one
        finally:
            engine.open.set()
        assert [answer.result() for answer in together] == [alone[0], *alone]
        assert max(engine.batches) > 1
    assert [answer["text"] for answer in alone] == ["a a", "a", "", "a", ""]


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_document_states_its_media_types(hearing: httpx.Client) -> None:
    document = hearing.get("/openapi.json").json()
    for path in ("/transcribe", "/models/{name}/transcribe", "/models/{name}/versions/{version}/transcribe"):
        operation = document["paths"][path]["post"]
        assert set(operation["requestBody"]["content"]) == {"application/json", "multipart/form-data", "audio/*"}
