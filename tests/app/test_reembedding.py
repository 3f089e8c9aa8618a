"""A version whose embedding is new fills its galleries from originals before it is served; or at start."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.checkpoints import with_galleries
from app.served import Model
from app.service import Service
from app.settings import Settings
from models.sample import Sample
from retrieval.gallery import Entry
from retrieval.item import Item
from retrieval.sqlite.store import SqliteStore
from tests.fakes import FakeSource, image_file, make_gallery, make_predictor, seed_of, serving

OTHER = "1" * 64


def made(version: int, embedding_id: str, store: SqliteStore, folder: Path) -> Model:
    predictor = make_predictor(version=version)
    predictor.config = predictor.config.model_copy(update={"embedding_id": embedding_id})
    seed = make_gallery(folder / str(version), predictor)
    return with_galleries(predictor, store, seed_of(Model(predictor, seed)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
def service_client(tmp_path: Path, store: SqliteStore) -> Iterator[httpx.Client]:
    source = FakeSource(
        {
            ("fashion", 1): lambda: made(1, "0" * 64, store, tmp_path),
            ("fashion", 2): lambda: made(2, OTHER, store, tmp_path),
        }
    )

    def load(settings: Settings) -> Service:
        return Service([source.makers["fashion", 1]()], settings, source, store=store)

    with serving(Settings(num_workers=1), load) as client:
        yield client


def found(client: httpx.Client, text: str, kind: str) -> list[str]:
    answer = client.post("/search", json={"text": text, "filter": {"labels.kind": kind}, "top_k": 99})
    return [match["id"] for match in answer.json()["matches"]]


def test_what_users_wrote_is_embedded_anew_before_the_version_is_served(service_client: httpx.Client) -> None:
    client = service_client
    for number in range(40):
        assert client.put(f"/items/{number}", json={"text": "red", "labels": {"kind": "mine"}}).status_code == 201
    client.put(
        "/items/pictured", files={"image": ("a.png", image_file("blue"))}, data={"labels": '{"kind": "pic"}'}
    )
    assert client.post("/models/fashion/load", json={"version": 2}).status_code == 200
    assert client.get("/models/fashion").json()["embedding_id"] == OTHER
    assert len(found(client, "red", "mine")) == 40
    assert found(client, "blue", "pic") == ["pictured"]
    everything = client.post("/search", json={"text": "red", "top_k": 99}).json()["matches"]
    assert len(everything) == 45  # the seed's four too
    client.put("/items/late", json={"text": "star", "labels": {"kind": "late"}})
    assert found(client, "star", "late") == ["late"]


@pytest.mark.clock
def test_what_is_written_under_another_version_is_embedded_by_the_one_that_takes_its_place(
    service_client: httpx.Client,
) -> None:
    client = service_client
    assert client.post("/models/fashion/load", json={"version": 2, "current": False}).status_code == 200
    client.put("/items/one", json={"text": "red", "labels": {"kind": "one"}})
    assert client.post("/models/fashion/load", json={"version": 2, "keep": True}).status_code == 200
    assert found(client, "red", "one") == ["one"]

    assert client.post("/models/fashion/load", json={"version": 1, "current": False}).status_code == 200
    client.put("/items/two", json={"text": "red", "labels": {"kind": "two"}})
    assert client.post("/models/fashion/unload", json={"version": 2}).status_code == 200
    end = time.monotonic() + 10
    while found(client, "red", "two") != ["two"]:
        assert time.monotonic() < end


def test_what_is_pending_at_the_start_is_filled_beside_the_traffic_and_what_is_broken_is_left_out(
    tmp_path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = made(1, "0" * 64, store, tmp_path)
    assert first.gallery is not None
    [vector] = first.predictor.embed_targets([first.predictor.prepare(Sample(text="red"))])["fused"]
    view = store.open("fashion", first.embedding, model="fashion")
    view.put([Entry(item=Item(id="whole", text="red"), vectors={"fused": vector})])
    view.put([Entry(item=Item(id="broken"), vectors={"fused": vector}, image=b"no image")])
    view.put([Entry(item=Item(id="empty", text=""), vectors={"fused": vector})])

    def load(settings: Settings) -> Service:
        return Service([made(2, OTHER, store, tmp_path)], settings, FakeSource({}), store=store)

    with serving(Settings(num_workers=1), load) as client:
        for _ in range(200):
            matches = client.post("/search", json={"text": "red", "top_k": 9}).json()["matches"]
            ids = [match["id"] for match in matches]
            if "whole" in ids and "could not be" in caplog.text:
                break
        assert "whole" in ids
        assert not {"broken", "empty"} & set(ids)
        assert client.get("/items/broken").status_code == 200
        assert "1 items are embedded, of which 2 could not be" in caplog.text
