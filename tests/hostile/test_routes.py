"""Every route, asked badly: what a fault is answered with does not depend on who reads the body.

The routes are those of the OpenAPI document, so a new one is asked as well."""

import base64
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.fakes import image_file, recording

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from app.checkpoints import with_galleries
from app.listening import bind
from app.server import serve
from app.service import Service
from app.settings import Settings
from retrieval.sqlite.store import SqliteStore
from tests.fakes import make_hearing_service, seed_of

settings, folder = Settings(port=0, num_workers=2, head_timeout_seconds=60), Path(sys.argv[1])
store = SqliteStore(folder / "data")
seeded = make_hearing_service(folder, settings)
kept = [with_galleries(model.predictor, store, seed_of(model)) for model in seeded.models]
with bind(settings) as listener:
    serve(Service(kept, settings, seeded.source, store=store), listener, lambda line: print(line, flush=True))
"""
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=X"}
RED = base64.b64encode(image_file("red")).decode()
FIELDS = (
    "image", "text", "audio", "sensors", "vector", "like", "weights", "filter", "top_k", "target", "labels",
    "items", "model", "input", "inputs", "messages", "version", "metadata", "id", "prompt", "parameters",
    "outputs",
)  # fmt: skip
PART = b'--X\r\nContent-Disposition: form-data; name="text"\r\n\r\nred\r\n'


def as_json(value: object) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), JSON


# name: (body, headers). Whether it is accepted depends on the route; a fault of ours it never is.
BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", {}),
    "nothing as JSON": (b"", JSON),
    "nothing as a form": (b"", FORM),
    "nothing as an image": (b"", {"Content-Type": "image/png"}),
    "nothing as a recording": (b"", {"Content-Type": "audio/wav"}),
    "noise as JSON": (bytes(range(256)), JSON),
    "noise as a form": (bytes(range(256)), FORM),
    "noise as an image": (bytes(range(256)), {"Content-Type": "image/png"}),
    "noise as a recording": (bytes(range(256)), {"Content-Type": "audio/wav"}),
    "noise of no type": (bytes(range(256)), {}),
    "XML": (b"<x/>", {"Content-Type": "text/xml"}),
    "URL-encoded": (b"text=red&top_k=1", {"Content-Type": "application/x-www-form-urlencoded"}),
    "a type that is none": (b"{}", {"Content-Type": ";;;/"}),
    "a long type": (b"{}", {"Content-Type": "a" * 10_000}),
    "gzip": (gzip.compress(b'{"text": "red"}'), {**JSON, "Content-Encoding": "gzip"}),
    "an unknown charset": (b'{"text": "red"}', {"Content-Type": "application/json; charset=utf-7"}),
    "UTF-16": ('{"text": "red"}'.encode("utf-16"), JSON),
    "UTF-8 with a mark": (b'\xef\xbb\xbf{"text": "red"}', JSON),
    "no UTF-8": (b'{"text": "\xff\xfe"}', JSON),
    "a lone surrogate": (b'{"text": "\\ud800", "model": "\\ud800", "id": "\\udfff"}', JSON),
    "a lone surrogate alone": (b'{"text": "a\\ud800b"}', JSON),
    "lone surrogates all over": (
        b'{"items": [{"\\ud800": 1}, {"id": "\\ud800"}], "text": "a", "labels": ["\\ud800", "b"]}', JSON
    ),
    "NUL": as_json({"text": "a\0b", "model": "\0", "labels": ["\0", "a"]}),
    "an empty object": as_json({}),
    "a list": as_json([]),
    "null": as_json(None),
    "a string": as_json("text"),
    "a number": as_json(5),
    "half an object": (b'{"text": ', JSON),
    "two objects": (b'{"text": "red"}{"text": "red"}', JSON),
    "NaN": (b'{"text": "red", "top_k": NaN, "dimensions": NaN}', JSON),
    "infinite": (b'{"text": "red", "min_score": 1e999, "temperature": -1e999, "input": [1e999]}', JSON),
    "a huge number": (b'{"text": "red", "top_k": 1' + b"0" * 4000 + b"}", JSON),
    "a name twice": (b'{"text": "a", "text": "b"}', JSON),
    "unknown fields": as_json({"text": "red", "txet": "red"}),
    "an empty name": as_json({"text": "red", "": 1}),
    "a long name": as_json({"text": "red", "x" * 1_000_000: 1}),
    "deep lists": (b"[" * 100_000, JSON),
    "deep objects": (b'{"filter":' * 20_000 + b"1" + b"}" * 20_000, JSON),
    "many values": (b'{"text": [' + b"1," * 300_000 + b"1]}", JSON),
    "every field wrong": as_json({name: {"a": [1, None]} for name in FIELDS}),
    "every field true": as_json(dict.fromkeys(FIELDS, True)),
    "every field a list": as_json({name: [[], None, {}, "a", 1] for name in FIELDS}),
    "items of all kinds": as_json({"items": [None, 1, "a", [], {}, {"id": ""}, {"id": 5}, {"text": 5}]}),
    "many items": as_json({"items": [{}] * 5000}),
    "inputs of all kinds": as_json({"inputs": [None, 1, {}, {"name": "text"}, {"name": "text", "shape": [-1]}]}),
    "a shape that is huge": as_json(
        {"inputs": [{"name": "image", "shape": [10**9, 10**9, 10**9, 3], "datatype": "UINT8", "data": [1]}]}
    ),
    "input of all kinds": as_json({"model": "fashion", "input": [None, 1, [1, 2], {}, {"text": 5}]}),
    "a text that is long": as_json({"text": "a" * 20_000, "input": "a" * 20_000, "model": "fashion"}),
    "an image that is none": as_json({"image": base64.b64encode(b"none").decode()}),
    "an image and a wrong text": as_json({"image": RED, "text": ["red"]}),
    "a vector of the wrong length": as_json({"vector": [1.0]}),
    "a vector of huge numbers": as_json({"vector": [10**400] * 8}),
    "a filter that is none": as_json({"text": "red", "filter": {"labels." + "x" * 100_000: {"in": 5}}}),
    "weights of nothing": as_json({"text": "red", "weights": {"image": 1, "text": 10**400}}),
    "a form without an end": (PART, FORM),
    "a form without a boundary": (PART + b"--X--", {"Content-Type": "multipart/form-data"}),
    "a boundary that is long": (PART, {"Content-Type": "multipart/form-data; boundary=" + "X" * 5000}),
    "a form of many parts": (PART * 1000 + b"--X--\r\n", FORM),
    "a part of a huge number": (
        PART + PART.replace(b'"text"', b'"top_k"').replace(b"red", b"9" * 5000) + b"--X--\r\n", FORM
    ),
    "a part with a NUL in its name": (PART.replace(b'"text"', b'"te\0xt"') + b"--X--\r\n", FORM),
    "a file for a text": (
        PART.replace(b'"text"', b'"text"; filename="a"').replace(b"red", b"\xff\xfe") + b"--X--\r\n", FORM
    ),
    "a part that is a batch": (PART.replace(b'"text"', b'"items"') + b"--X--\r\n", FORM),
}  # fmt: skip
HEADERS: dict[str, dict[str, Any]] = {
    "a deadline of no number": {"X-Request-Timeout-Ms": "soon"},
    "a deadline of 0": {"X-Request-Timeout-Ms": "0"},
    "a huge deadline": {"X-Request-Timeout-Ms": "9" * 5000},
    "an id of controls": {"X-Request-ID": "a\tb"},
    "a long id": {"X-Request-ID": "a" * 5000},
    "a key of no ASCII": {"Authorization": b"Bearer \xe9"},
    "an origin of another": {"Origin": "https://other.example"},
    "a range": {"Range": "bytes=5-1"},
    "a tag": {"If-None-Match": '"' + "a" * 5000},
    "an expectation": {"Expect": "the-worst"},
}
NAMES = {
    "name": ["fashion", "%00", "x" * 300, "%ff", "..%2f"],
    "version": ["1", "0", "-1", "x", "9" * 400],
    "gallery": ["fashion", "%00", "x" * 300, "..%2f", "%ed%a0%80"],
    "item_id": ["red", "%00", "x" * 3000, "%ff", "a%2Fimage"],
    "model_id": ["fashion", "%00"],
    "model": ["fashion", "%00"],
}


def routes() -> list[tuple[str, str]]:
    found = create_app(Settings()).openapi()["paths"]
    return sorted((method.upper(), path) for path, methods in found.items() for method in methods)


ROUTES = routes()
WRITING = [(method, path) for method, path in ROUTES if method in ("POST", "PUT")]


def filled(path: str, number: int = 0) -> str:
    for name, values in NAMES.items():
        for marked in (f"{{{name}}}", f"{{{name}:path}}"):
            path = path.replace(marked, values[min(number, len(values) - 1)])
    assert "{" not in path, f"a name for {path}"
    return path


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("routes")
    with (
        (folder / "stderr").open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(folder)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("Ready"))
        try:
            with httpx.Client(base_url=line.split()[2], timeout=30) as client:
                yield client
            assert process.poll() is None, "the server died"
        finally:
            process.terminate()
            process.wait(30)
    assert "Traceback" not in (folder / "stderr").read_text()


def check(answer: httpx.Response) -> None:
    """No fault of ours; and what is refused is a problem with a reason that says what to do."""
    assert answer.status_code < 500, (answer.status_code, answer.text[:300])
    if answer.status_code < 400:
        return
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["detail"].rstrip().endswith((".", "?")), problem["detail"][-200:]
    assert len(answer.content) < 4000, answer.text[:300]


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_every_bad_body_is_answered(client: httpx.Client, method: str, path: str) -> None:
    if path.endswith("/unload"):
        return  # it would leave the others nobody to ask; bodies are read as those of /load
    for name, (body, headers) in BODIES.items():
        answer = client.request(method, filled(path), content=body, headers=headers)
        try:
            check(answer)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_odd_names_and_headers_are_answered(client: httpx.Client, method: str, path: str) -> None:
    if path.endswith("/unload"):
        return
    body = {"json": {"text": "red"}} if method in ("POST", "PUT") else {}
    for name, headers in HEADERS.items():
        if method != "DELETE":
            try:
                check(client.request(method, filled(path), headers=headers, **body))
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
    for number in range(1, 5):
        check(client.request(method, filled(path, number), **body))
    for query in (
        "?limit=-1",
        "?limit=NaN",
        "?limit=1&limit=2",
        "?after=%00",
        "?after=%ff",
        "?" + "a=1&" * 1000,
        "?%",
    ):
        if method != "DELETE":
            check(client.request(method, filled(path) + query, **body))


@pytest.mark.parametrize("path", sorted({path for _, path in ROUTES}))
def test_a_wrong_method_is_told_which_are_right(client: httpx.Client, path: str) -> None:
    allowed = {method for method, one in ROUTES if one == path}
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"} - allowed:
        answer = client.request(method, filled(path))
        # What ends like a file of an item may be an item's id.
        assert answer.status_code in (400, 404, 405) or "/items/" in path, answer.text
        if method != "BREW":  # which is no HTTP, so that no request has been made of it
            check(answer)


def test_the_service_is_as_good_as_before(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"text": "red", "image": RED})
    assert answer.status_code == 200
    assert answer.json()["modalities_used"] == ["image", "text"]
    assert client.get("/health/ready").status_code == 200
    sound = client.post("/embed", content=recording(0.5, 0.5), headers={"Content-Type": "audio/wav"})
    assert sound.status_code == 422  # fashion hears nothing
