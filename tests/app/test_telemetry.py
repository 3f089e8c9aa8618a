"""X-Request-ID and Server-Timing."""

import httpx
import pytest

from app.telemetry import Timings


def test_the_longest_of_each_stage_counts_in_the_order_of_the_stages() -> None:
    timings = Timings()
    timings.record("search", 0.001)
    timings.record("read", 0.5)
    timings.record("read", 0.25)
    assert timings.header() == "read;dur=500.00, search;dur=1.00"


def test_a_sane_request_id_is_kept_and_another_is_replaced(client: httpx.Client) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": "order-7"}).headers["X-Request-ID"] == "order-7"
    assert len(client.get("/health/live").headers["X-Request-ID"]) == 32
    for insane in ("with space", "x" * 129, "é".encode("latin-1")):
        assert len(client.get("/health/live", headers={"X-Request-ID": insane}).headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("path", ["/predict", "/nowhere"])
def test_the_id_stands_in_every_body(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={"text": "red"}, headers={"X-Request-ID": "abc"})
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == "abc"


def test_every_stage_is_timed(client: httpx.Client) -> None:
    timing = client.post("/predict", json={"text": "red"}).headers["Server-Timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == [
        "read",
        "decode",
        "queue",
        "encode",
        "fuse",
        "search",
    ]
    assert all(float(part.split("dur=")[1]) >= 0 for part in timing.split(", "))
