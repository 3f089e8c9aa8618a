"""A gallery keeps an item's readings, finds it by them, and embeds it anew for another network."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.bulk.exporting import export_gallery
from app.bulk.importing import import_records
from app.checkpoints import with_galleries
from app.media import DecodeLimits
from app.served import Model
from app.service import Service
from app.settings import Settings
from models.checkpoint import Checkpoint
from models.columns import Columns
from models.manifest import read_manifest
from models.predictor import load_predictor
from retrieval.sqlite.store import SqliteStore
from tests.fakes import FakeSource, serving
from tests.four import four_checkpoint

FAST, SLOW = {"speed": 9, "turn": [0.5, None, 0.25]}, {"speed": 1, "wheel": None}


def made(store: SqliteStore, checkpoint: Checkpoint, version: int) -> Model:
    config = checkpoint.config.model_copy(update={"version": version})
    return with_galleries(load_predictor(replace(checkpoint, config=config)), store, None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
def client(store: SqliteStore) -> Iterator[httpx.Client]:
    kinds = {1: four_checkpoint(), 2: four_checkpoint("tcn")}
    source = FakeSource(
        {("tiny", version): lambda v=version, c=kind: made(store, c, v) for version, kind in kinds.items()}
    )

    def load(settings: Settings) -> Service:
        return Service([source.makers["tiny", 1]()], settings, source, store=store)

    with serving(Settings(num_workers=1), load) as client:
        client.put("/galleries/tiny")
        yield client


def nearest(client: httpx.Client, sensors: object) -> str:
    answer = client.post("/search", json={"sensors": sensors, "target": "sensors", "top_k": 1})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["matches"][0]["id"])


def test_readings_are_kept_found_and_embedded_anew(client: httpx.Client, store: SqliteStore) -> None:
    written = client.put("/items/fast", json={"sensors": FAST, "text": "a red circle"})
    assert written.status_code == 201, written.text
    assert written.json()["sensors_url"] == "/galleries/tiny/items/fast/sensors"
    assert (
        client.put("/items/slow", data={"sensors": json.dumps(SLOW)}, files={"text": (None, "a")}).status_code
        == 201
    )
    assert client.put("/items/words", json={"text": "a blue star"}).status_code == 201
    assert "sensors_url" not in client.get("/items/words").json()

    kept = client.get("/items/fast/sensors")
    assert kept.headers["content-type"] == "application/json"
    assert kept.json() == {"speed": 9.0, "turn": [0.5, None, 0.25]}
    assert client.get("/items/slow/sensors").json() == {"speed": 1.0}
    assert client.get("/items/words/sensors").status_code == 404
    assert nearest(client, FAST) == "fast"
    assert nearest(client, SLOW) == "slow"
    [match] = client.post("/search", json={"like": "slow", "target": "sensors"}).json()["matches"]
    assert (match["id"], match["sensors_url"]) == ("fast", "/galleries/tiny/items/fast/sensors")

    old = client.get("/models/tiny").json()["embedding_id"]
    loaded = client.post("/models/tiny/load", json={"version": 2})
    assert loaded.status_code == 200, loaded.text
    assert client.get("/models/tiny").json()["embedding_id"] != old
    assert nearest(client, FAST) == "fast"
    assert nearest(client, SLOW) == "slow"
    assert store.verify("tiny") == []


def test_an_unknown_channel_writes_nothing(client: httpx.Client) -> None:
    answer = client.put("/items/bad", json={"sensors": {"sped": 1}})
    assert (answer.status_code, answer.json()["field"]) == (422, "sensors")
    assert client.get("/items/bad").status_code == 404
    batch = client.post("/items:batch", json={"items": [{"id": "a", "sensors": FAST}, {"id": "b", "sensors": 3}]})
    assert [result["status"] for result in batch.json()["results"]] == [201, 422]


def test_a_table_of_readings_goes_in_and_comes_out(store: SqliteStore, tmp_path: Path) -> None:
    model = made(store, four_checkpoint(), 1)
    gallery = store.open("tiny", model.embedding, model="tiny")
    path = tmp_path / "rows.jsonl"
    rows = [{"id": "fast", "s": FAST}, {"id": "slow", "s": SLOW}, {"id": "bad", "s": {"spin": 1}}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    records = read_manifest(path, Columns(id="id", sensors="s"))
    for written, kept in ((2, 0), (0, 2)):
        done = import_records(records, path, model.predictor, gallery, DecodeLimits(), lambda _: None)
        assert (done.num_written, done.num_kept) == (written, kept)
        assert done.faults == ["rows.jsonl:3: sensors: unknown channel 'spin'; there are: speed, turn, wheel."]
    assert export_gallery(gallery, tmp_path / "out", lambda _: None) == 2
    lines = [json.loads(line) for line in (tmp_path / "out" / "items.jsonl").read_text().splitlines()]
    assert [line["sensors"] for line in lines] == [{"speed": 9.0, "turn": [0.5, None, 0.25]}, {"speed": 1.0}]
    assert len(read_manifest(tmp_path / "out" / "items.jsonl", Columns(id="id", sensors="sensors"))) == 2
    gallery.close()
