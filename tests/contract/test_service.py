"""Health, load and failure: what operators rely on."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.contract.conftest import Start
from tests.fakes import POISON, FakeEngine, make_service


def test_health_and_home(client: httpx.Client) -> None:
    for path, status in (("live", "live"), ("ready", "ready"), ("startup", "started")):
        assert client.get(f"/health/{path}").json() == {"status": status}
    assert client.get("/").status_code == 200
    assert client.get("/docs").status_code == 200


def test_models_are_described(client: httpx.Client) -> None:
    models = client.get("/models").json()["models"]
    assert [(model["name"], model["version"], model["default"]) for model in models] == [
        ("fashion", 2, True),
        ("fashion", 1, False),
        ("words", 1, False),
    ]
    fashion = client.get("/models/fashion").json()
    assert fashion == models[0]
    assert fashion["modalities"] == ["image", "text"]
    assert fashion["heads"]["colour"] == {"labels": ["blue", "red"], "multi_label": False}
    assert fashion["gallery"] == {"name": "fashion", "num_items": 4, "targets": ["fused", "image", "text"]}
    assert fashion["dimensions"] == 8


@pytest.mark.clock
def test_a_full_queue_answers_429_with_retry_after_and_the_rest_200(start: Start, engine: FakeEngine) -> None:
    client = start(max_queue_items=2, max_batch_items=1)
    engine.open.clear()
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(client.post, "/predict", json={"text": "red"}) for _ in range(12)]
        while not any(future.done() for future in waiting):
            time.sleep(0.01)
        time.sleep(0.2)
        engine.open.set()
        answers = [future.result() for future in waiting]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert refused[0].json()["title"] == "Too Many Requests"
    assert f"intermodal_shed_total {len(refused)}.0" in client.get("/metrics").text


@pytest.mark.clock
def test_an_answer_past_the_deadline_is_504(start: Start, engine: FakeEngine) -> None:
    client = start(request_timeout_seconds=0.2)
    engine.open.clear()
    answer = client.post("/predict", json={"text": "red"})
    assert answer.status_code == 504
    assert answer.json()["title"] == "Gateway Timeout"


def test_a_fault_of_ours_is_a_bare_500_and_stands_in_the_log(
    start: Start, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    client = start()
    with caplog.at_level(logging.ERROR):
        answer = client.post("/predict", json={"text": POISON}, headers={"X-Request-ID": "id-7"})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "id-7"
    assert "poison" not in answer.text
    [record] = [record for record in caplog.records if record.exc_info]
    assert "id-7" in record.getMessage()
    assert "poisoned" in str(record.exc_info[1])
    assert client.post("/predict", json={"text": "red"}).status_code == 200


def test_a_service_is_ready_again_once_its_engine_answers(start: Start, engine: FakeEngine) -> None:
    client = start()
    engine.broken = True
    assert client.post("/predict", json={"text": "red"}).status_code == 500
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200
    engine.broken = False
    assert client.get("/health/ready").status_code == 200


@pytest.mark.clock
def test_a_service_whose_engine_hangs_is_not_ready_and_is_again_once_it_answers(
    start: Start, engine: FakeEngine
) -> None:
    client = start(request_timeout_seconds=0.2)
    engine.open.clear()
    assert client.post("/predict", json={"text": "red"}).status_code == 504
    time.sleep(0.1)
    assert client.get("/health/ready").status_code == 503
    engine.open.set()
    end = time.monotonic() + 5
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_service_is_not_ready_before_it_has_started_nor_while_it_stops(seed_folder: Path) -> None:
    async def run() -> None:
        service = make_service(seed_folder, Settings(num_workers=1))
        assert not await service.ready()
        await service.start()
        assert await service.ready()
        service.draining = True
        assert not await service.ready()
        await service.close()

    asyncio.run(run())


def test_an_engine_that_fails_at_start_keeps_the_service_from_starting(
    seed_folder: Path, engine: FakeEngine
) -> None:
    async def run() -> None:
        service = make_service(seed_folder, Settings(num_workers=1), engine)
        engine.broken = True
        with pytest.raises(RuntimeError, match="broken"):
            await service.start()
        assert not service.started
        await service.close()

    asyncio.run(run())


def test_image_urls_honour_the_root_path(start: Start) -> None:
    client = start(root_path="/shop/")
    match = client.post("/predict", json={"text": "red"}).json()["matches"][0]
    assert match["image_url"] == "/shop/galleries/fashion/items/red/image"
    assert client.get(match["image_url"]).status_code == 200  # a proxy may or may not strip the prefix
    assert client.get(match["image_url"].removeprefix("/shop")).status_code == 200
