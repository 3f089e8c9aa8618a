"""Recordings on every route that takes inputs: equal answers by every media type, a problem for every fault."""

import base64
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.checkpoints import with_galleries
from app.service import Service
from app.settings import Settings
from retrieval.sqlite.store import SqliteStore
from tests.fakes import image_file, make_hearing_service, recording, seed_of, serving

LOUD = recording(0.9, 0.9)
HALF = recording(0.9, 0.0)
RED64 = base64.b64encode(image_file("red")).decode()
WAV = {"Content-Type": "audio/wav"}


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service with a model that knows recordings, and one that does not."""
    folder = tmp_path_factory.mktemp("hearing")
    settings = Settings(num_workers=2, max_audio_seconds=3.0, max_audio_bytes=8_000_000)
    with serving(settings, lambda settings: make_hearing_service(folder, settings)) as client:
        yield client


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def without_id(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name != "request_id"}


@pytest.mark.parametrize("fields", [{}, {"text": "a blue star"}, {"num_labels": 1, "top_k": 2, "target": "audio"}])
def test_every_media_type_gives_equal_answers(hearing: httpx.Client, fields: dict[str, Any]) -> None:
    path = "/models/speech/predict"
    fields = {**fields, "target": "fused"}
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    by_json = hearing.post(path, json={"audio": in_base64(HALF), **fields})
    by_uri = hearing.post(path, json={"audio": f"data:audio/wav;base64,{in_base64(HALF)}", **fields})
    by_form = hearing.post(path, files={"audio": ("a.wav", HALF)}, data=text)
    typed = hearing.post(path, files={"audio": (None, HALF, "audio/x-wav")}, data=text)
    bare = [
        hearing.post(path, content=HALF, headers={"Content-Type": kind}, params=text)
        for kind in ("audio/wav", "audio/mpeg", "audio/ogg; codecs=opus")  # what it is, is said by its bytes
    ]
    expected = without_id(by_json)
    assert "audio" in expected["modalities_used"]
    for answer in (by_uri, by_form, typed, *bare):
        assert without_id(answer) == expected


def test_recordings_go_with_images_and_texts(hearing: httpx.Client) -> None:
    fields = {"image": RED64, "text": "red", "audio": in_base64(LOUD)}
    answer = without_id(hearing.post("/models/speech/predict", json=fields))
    assert answer["modalities_used"] == ["image", "text", "audio"]
    both = {"image": ("a.png", image_file("red")), "audio": ("a.wav", LOUD)}
    by_form = hearing.post("/models/speech/predict", files=both, data={"text": "red"})
    assert without_id(by_form) == answer


@pytest.mark.parametrize("path", ["/predict", "/embed", "/search", "/galleries/fashion/search"])
def test_a_model_that_knows_no_recordings_says_so(hearing: httpx.Client, path: str) -> None:
    answer = hearing.post(path, content=LOUD, headers=WAV)
    assert answer.status_code == 422
    assert answer.json()["field"] == "audio"
    assert "does not know it. It knows: image, text." in answer.json()["detail"]


def test_a_recording_searches_and_is_classified(hearing: httpx.Client) -> None:
    found = without_id(hearing.post("/galleries/speech/search", content=LOUD, headers=WAV))
    assert len(found["matches"]) == 4
    weighed = {"audio": in_base64(LOUD), "text": "red", "weights": {"audio": 0.0, "text": 1.0}}
    by_text = without_id(hearing.post("/galleries/speech/search", json={"text": "red"}))
    assert without_id(hearing.post("/galleries/speech/search", json=weighed))["matches"] == by_text["matches"]
    fields = {"audio": in_base64(LOUD), "labels": ["red", "blue"], "model": "speech"}
    labels = without_id(hearing.post("/classify", json=fields))["labels"]
    assert sum(one["score"] for one in labels) == pytest.approx(1, abs=1e-5)


def float_wav(*values: float) -> bytes:
    """A WAV of 32-bit floats at 8 kHz."""
    data = struct.pack(f"<{len(values)}f", *values)
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 8_000, 32_000, 4, 32)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


FAULTS = {
    "no recording": (b"Have you heard of it?" * 100, 415, "known format"),
    "an image": (image_file("red"), 415, "known format"),
    "truncated": (LOUD[:30], 422, ""),
    "a head alone": (b"RIFF\xff\xff\xff\xffWAVE", 422, ""),
    "too long": (recording(*[0.5] * 31), 413, "limit"),
    "too many bytes": (LOUD + bytes(8_000_000), 413, "limit"),
    "no numbers": (float_wav(*[math.nan] * 800), 422, ""),
    "no bytes": (b"", 422, "empty"),
}
ROUTES = ("/models/speech/predict", "/galleries/speech/search", "/transcribe", "/models/speech/transcribe")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_recording_is_the_callers(hearing: httpx.Client, path: str, fault: str) -> None:
    data, status, says = FAULTS[fault]
    by_form = hearing.post(path, files={"audio": ("a.wav", data)})
    bare = hearing.post(path, content=data, headers=WAV)
    for answer in (by_form, bare):
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["field"] == "audio"
        assert says in answer.json()["detail"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"audio": "not base64!"}, "not base64"),
        ({"audio": "data:audio/wav,AAAA"}, "data: URI"),
        ({"audio": 5}, "base64"),
        ({"audio": {"url": "https://shop.example/a.wav"}}, "Send the file itself"),
    ],
)
def test_a_faulty_field_is_named(hearing: httpx.Client, path: str, fields: dict[str, Any], says: str) -> None:
    answer = hearing.post(path, json=fields)
    assert (answer.status_code, answer.json()["field"]) == (422, "audio")
    assert says in answer.json()["detail"]


def test_a_string_where_a_file_belongs_says_how_to_send_one(hearing: httpx.Client) -> None:
    answer = hearing.post("/models/speech/predict", files={"audio": (None, "speech.wav")})
    assert answer.status_code == 422
    assert "curl -F audio=@speech.wav" in answer.json()["detail"]


def test_in_a_batch_a_bad_recording_fails_alone(by_default: httpx.Client) -> None:
    items = [{"audio": in_base64(LOUD)}, {"audio": in_base64(LOUD[:30])}, {"text": "red"}]
    results = by_default.post("/predict/batch", json={"items": items}).json()["results"]
    assert [result["status"] for result in results] == [200, 422, 200]
    assert results[1]["problem"]["field"] == "audio"
    assert results[0]["modalities_used"] == ["audio"]


def test_an_embedding_tells_loud_from_silent(by_default: httpx.Client) -> None:
    silent, half, loud = (
        without_id(by_default.post("/embed", content=recording(*parts), headers=WAV))["embedding"]
        for parts in ((0.0, 0.0), (0.9, 0.0), (0.9, 0.9))
    )
    assert silent[3] == pytest.approx(8**-0.5, abs=1e-3)  # as all the others
    assert silent[3] < half[3] < loud[3]


@pytest.fixture
def by_default(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a service whose default model knows recordings."""
    with serving(
        Settings(num_workers=1), lambda settings: make_hearing_service(tmp_path, settings, first="speech")
    ) as client:
        yield client


def test_a_recording_beyond_what_stays_in_memory_is_answered_alike(tmp_path: Path) -> None:
    seconds = 320  # 5.1 MB, spooled in a temporary file
    data = recording(*[0.9] * (10 * seconds))
    assert len(data) > 5_000_000
    settings = Settings(num_workers=1, max_audio_seconds=400)
    with serving(settings, lambda settings: make_hearing_service(tmp_path, settings)) as client:
        by_form = client.post("/models/speech/transcribe", files={"audio": ("a.wav", data)})
        bare = client.post("/models/speech/transcribe", content=data, headers=WAV)
    assert without_id(by_form) == without_id(bare)
    assert without_id(bare)["duration_seconds"] == seconds


@pytest.fixture
def live(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a service whose galleries can be written."""

    def load(settings: Settings) -> Service:
        store = SqliteStore(tmp_path / "data")
        seeded = make_hearing_service(tmp_path, settings, first="speech")
        kept = [with_galleries(model.predictor, store, seed_of(model)) for model in seeded.models]
        return Service(kept, settings, seeded.source, store=store)

    with serving(Settings(num_workers=1), load) as client:
        yield client


def test_a_recording_is_written_and_found(live: httpx.Client) -> None:
    assert live.put("/items/bare", content=LOUD, headers=WAV).status_code == 201
    form = live.put("/items/form", files={"audio": ("a.wav", HALF)}, data={"text": "red", "labels": '{"a": "b"}'})
    assert (form.status_code, form.json()["labels"]) == (201, {"a": "b"})
    found = live.post("/search", json={"audio": in_base64(LOUD), "target": "audio"}).json()["matches"]
    assert [match["id"] for match in found] == ["bare", "form"]  # the others were never heard
    assert found[0]["score"] == pytest.approx(1, abs=1e-5)
    refused = live.put("/items/cut", content=LOUD[:30], headers=WAV)
    assert (refused.status_code, refused.json()["field"]) == (422, "audio")


def test_of_items_that_are_written_a_bad_recording_fails_alone(live: httpx.Client) -> None:
    items = [{"id": "a", "audio": in_base64(LOUD)}, {"id": "b", "audio": "AAAA"}, {"id": "c", "text": "red"}]
    results = live.post("/items:batch", json={"items": items}).json()["results"]
    assert [result["status"] for result in results] == [201, 415, 201]
    assert results[1]["problem"]["field"] == "audio"
