"""A request's span under OpenTelemetry's own launcher, printed by its console exporter."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
LAUNCHER = Path(sys.executable).parent / "opentelemetry-instrument"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def output(tmp_path: Path) -> Iterator[tuple[str, Path, subprocess.Popen[bytes]]]:
    """A service's address, the file that its stdout goes to, and its process."""
    environment = os.environ | {
        "OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS": "health,metrics",
        "INTERMODAL_MODELS": "fashion", "INTERMODAL_GALLERIES": "seed", "INTERMODAL_PORT": "0",
    }  # fmt: skip
    out = tmp_path / "stdout"
    command = [str(LAUNCHER), sys.executable, "-m", "app"]
    with out.open("wb") as stdout:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stdout, stderr=stdout)
    try:
        for _ in range(600):
            if found := re.search(r"Ready at (\S+)", out.read_text()):
                break
            time.sleep(0.1)
        assert found, out.read_text()
        yield found[1], out, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not LAUNCHER.exists(), reason="the extra otel is not installed")
def test_a_trace_goes_on_through_the_service_with_model_and_stages(
    output: tuple[str, Path, subprocess.Popen[bytes]],
) -> None:
    url, out, process = output
    with httpx.Client(base_url=url, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}) as client:
        answer = client.post("/predict", json={"text": "blue t-shirt", "num_labels": 1})
        client.get("/health/ready")
    process.terminate()
    assert process.wait(timeout=30) == 0
    text = out.read_text()
    [span] = [found for found in _objects(text, "context") if found["kind"] == "SpanKind.SERVER"]
    assert (span["name"], span["context"]["trace_id"]) == ("POST /predict", f"0x{TRACE}")
    attributes = span["attributes"]
    assert attributes["intermodal.model"] == "fashion"
    assert attributes["intermodal.request_id"] == answer.json()["request_id"]
    assert attributes["intermodal.encode_ms"] > 0
    logged = [json.loads(line) for line in text.splitlines() if line.startswith('{"time"')]
    assert [line["trace_id"] for line in logged if line.get("path") == "/predict"] == [TRACE]


def _objects(text: str, key: str) -> list[dict[str, Any]]:
    """The JSON objects in a text that have a key, over however many lines."""
    decoder, found = json.JSONDecoder(), []
    for start in (match.start() for match in re.finditer(r"^\{", text, re.MULTILINE)):
        value, _ = decoder.raw_decode(text, start)
        if key in value:
            found.append(value)
    return found


def test_without_opentelemetry_there_is_no_span_and_nothing_is_imported() -> None:
    code = "import sys, app.tracing as t; print(t.describe_span(lambda: {'a': 1}), 'opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
