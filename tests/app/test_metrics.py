"""What /metrics counts."""

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Metrics
from tests.fakes import image_file


def samples(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Value by name and labels' values."""
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_a_request_is_counted_by_route_and_status_and_timed_by_stage(client: httpx.Client) -> None:
    before = samples(client)
    client.post("/predict", json={"text": "red"})
    client.post("/models/fashion/predict", json={"text": ""})
    client.post("/predict/batch", json={"items": [{"text": "red"}, {"text": "blue"}]})
    after = samples(client)

    def grown(*key: str) -> float:
        return after[key] - before.get(key, 0)

    assert grown("intermodal_requests_total", "POST", "/predict", "200") == 1
    assert grown("intermodal_requests_total", "POST", "/models/{name}/predict", "422") == 1
    assert grown("intermodal_request_seconds_count", "/predict") == 1
    for stage in ("read", "decode", "queue", "encode", "fuse", "search"):
        assert grown("intermodal_stage_seconds_count", stage) == 2
    assert grown("intermodal_batch_items_sum") == 3
    assert after["intermodal_queue_items", "forward"] == after["intermodal_queue_items", "decode"] == 0
    assert after["intermodal_requests_in_flight",] == 1  # this very request
    assert after["intermodal_model_info", "cpu", "fake", "fashion", "2"] == 1
    assert after["intermodal_draining",] == 0


@pytest.mark.parametrize("path", ["/nowhere/lost", "/docs/lost", "/items/missing", "/items/lost", "/models/x"])
def test_what_a_caller_makes_up_becomes_no_label(client: httpx.Client, path: str) -> None:
    client.get(path)
    client.request("PROPFIND", path)
    labels = {part for key in samples(client) for part in key[1:]}
    assert not labels & {path, path.rpartition("/")[2], "PROPFIND"}
    assert "other" in labels


def test_every_metric_is_described() -> None:
    text = Metrics().exposition().decode()
    for name in re.findall(r"# TYPE (\S+)", text):
        assert re.search(rf"# HELP {name} \S", text)


def test_an_image_is_counted_as_any_other_request(client: httpx.Client) -> None:
    client.post("/predict", content=image_file("red"), headers={"Content-Type": "image/png"})
    assert samples(client)["intermodal_requests_total", "POST", "/predict", "200"] >= 1
