"""The log's two formats, and what a request leaves there."""

import io
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.logs import JsonFormatter, TextFormatter, configure_logs
from tests.fakes import image_file
from tests.frames import ask, stream

TEXT = "zebra crossing"


def record(message: str, *, error: BaseException | None = None, **fields: Any) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("app.x", logging.WARNING, "x.py", 1, message, (), exc_info)
    made.created = 0.25
    made.fields = fields
    return made


def test_a_record_is_one_line_of_json_with_its_fields() -> None:
    line = JsonFormatter().format(record("two\nlines, ☃", status=200, stages_ms={"read": 1.5}))
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "app.x",
        "message": "two\nlines, ☃",
        "status": 200,
        "stages_ms": {"read": 1.5},
    }


def test_a_traceback_stays_in_its_record() -> None:
    try:
        raise ValueError("why")
    except ValueError as error:
        entry = json.loads(JsonFormatter().format(record("failed", error=error)))
    assert "ValueError: why" in entry["exception"]


def test_text_is_for_people_and_its_values_cannot_break_the_line() -> None:
    line = TextFormatter().format(record("request", path="/a\nb", status=200))
    assert line == '1970-01-01T00:00:00.250Z WARNING app.x: request path="/a\\nb" status=200'


@pytest.mark.usefixtures("own_logs")
@pytest.mark.parametrize("logger", ["uvicorn.error", "asyncio", "app.service"])
def test_every_logger_speaks_one_format(monkeypatch: pytest.MonkeyPatch, logger: str) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    configure_logs("info", "json")
    logging.getLogger(logger).error("broken %s", "pipe")
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "broken pipe"


def requests_logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [made.fields for made in caplog.records if made.name == "app.telemetry"]


def test_a_request_is_one_record_without_payload_text_or_file_name(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = client.post(
            "/predict",
            data={"text": TEXT},
            files={"image": ("zebra.png", image_file("red"))},
            headers={"X-Request-ID": "id-1"},
        )
        assert answer.status_code == 200
        refused = client.post(f"/predict?text={TEXT}", content=b"zebra", headers={"Content-Type": "image/png"})
        assert refused.status_code in (415, 422)
    good, bad = requests_logged(caplog)
    assert {name: good[name] for name in ("request_id", "method", "path", "status", "model", "version")} == {
        "request_id": "id-1", "method": "POST", "path": "/predict", "status": 200,
        "model": "fashion", "version": 2,
    }  # fmt: skip
    assert list(good["stages_ms"]) == ["read", "decode", "queue", "encode", "fuse", "search"]
    assert 0 < sum(good["stages_ms"].values()) - good["stages_ms"]["queue"] < good["duration_ms"]
    assert good["bytes_in"] == int(answer.request.headers["Content-Length"])
    assert (bad["status"], bad["path"], bad["bytes_in"]) == (refused.status_code, "/predict", 5)
    assert "zebra" not in " ".join(JsonFormatter().format(made) for made in caplog.records if "app" in made.name)


@pytest.mark.clock
@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/predict/stream?text=zebra", 422, "/predict/stream"),
        ("/models/nobody/predict/stream", 404, "/models/{name}/predict/stream"),
        ("/transcribe/stream", 404, "/transcribe/stream"),
        ("/nowhere", 404, "none"),
    ],
)
def test_a_stream_that_is_refused_is_logged_and_counted_as_a_request(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, path: str, status: int, route: str
) -> None:
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(InvalidStatus) as caught,
        connect(f"ws://127.0.0.1:{client.base_url.port}{path}", additional_headers={"X-Request-ID": "id-2"}),
    ):
        pass
    assert caught.value.response.status_code == status
    assert caught.value.response.headers["X-Request-ID"] == "id-2"
    assert json.loads(caught.value.response.body or b"")["request_id"] == "id-2"
    end = time.monotonic() + 5
    while not (entries := requests_logged(caplog)) and time.monotonic() < end:
        time.sleep(0.01)  # the answer goes out before its record is written
    [entry] = entries
    assert {name: entry[name] for name in ("request_id", "method", "path", "status")} == {
        "request_id": "id-2", "method": "WS", "path": path.partition("?")[0], "status": status,
    }  # fmt: skip
    counted = f'intermodal_requests_total{{method="WS",route="{route}",status="{status}"}} 1.0'
    assert counted in client.get("/metrics").text


def test_a_stream_that_opens_is_counted_by_its_messages_alone(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), stream(client, additional_headers={"X-Request-ID": "id-3"}) as socket:
        assert socket.response is not None
        assert socket.response.headers["X-Request-ID"] == "id-3"
        assert ask(socket, {"text": "red"})["request_id"] == "id-3-0"
    assert requests_logged(caplog) == []
    assert 'status="101"' not in client.get("/metrics").text


def test_a_probe_that_succeeds_is_logged_only_for_debugging(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/health/ready")
        client.get("/metrics")
        client.get("/health/nowhere")
    assert [entry["status"] for entry in requests_logged(caplog)] == [404]
