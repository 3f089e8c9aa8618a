"""Writes are bounded, and what a store cannot do now is told without this machine's paths."""

import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from app import galleries
from app.galleries import Galleries
from app.refusals import QueueFullError
from app.registry import Registry
from app.service import Service
from app.settings import Settings
from retrieval.errors import GalleryError
from retrieval.sqlite.store import SqliteStore
from tests.contract.test_items import live_service
from tests.fakes import serving

pytestmark = pytest.mark.anyio


async def test_more_writes_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "MAX_WRITES", 2)
    kept = Galleries(Registry([]), None)
    held = threading.Event()
    writes = [asyncio.create_task(kept.write(lambda: held.wait(5))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError):
        await kept.write(lambda: True)
    held.set()
    assert await asyncio.gather(*writes) == [True, True]
    assert await kept.write(lambda: 7) == 7
    await kept.close()


def test_a_disk_without_room_is_503_names_no_path_and_harms_no_search(
    tmp_path: Path, seed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service: list[Service] = []

    def load(settings: Settings) -> Service:
        service.append(live_service(tmp_path, seed_folder, settings))
        return service[0]

    def full(*_: object) -> None:
        raise GalleryError(f"{tmp_path}/galleries/fashion.db: no room on its disk. Make room.")

    with serving(Settings(num_workers=1), load) as client:
        gallery = service[0].galleries.get().gallery
        with monkeypatch.context() as patch:
            patch.setattr(type(gallery), "put", full)
            patch.setattr(type(gallery), "delete", full)
            answers = [
                client.put("/items/x", json={"text": "red"}),
                client.delete("/items/red"),
            ]
            batch = client.post("/items:batch", json={"items": [{"id": "x", "text": "red"}, {"id": "y"}]})
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json()["detail"] == "fashion.db: no room on its disk. Make room."
        assert [result["status"] for result in batch.json()["results"]] == [503, 422]
        assert client.post("/search", json={"text": "red"}).status_code == 200
        assert client.put("/items/x", json={"text": "red"}).status_code == 201


def test_a_gallery_whose_file_is_in_use_is_not_made(tmp_path: Path, seed_folder: Path) -> None:
    other = SqliteStore(tmp_path)

    def load(settings: Settings) -> Service:
        return live_service(tmp_path, seed_folder, settings)

    with serving(Settings(num_workers=1), load) as client:
        model = client.get("/models/fashion").json()
        assert model["gallery"]["num_items"] == 4
        made: httpx.Response = client.put("/galleries/shop")
        assert made.status_code == 201
        with pytest.raises(GalleryError, match="in use"):
            other.drop("shop")
    assert other.drop("shop")
    other.close()
