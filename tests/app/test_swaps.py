"""A real process with real checkpoints: versions swapped under load, files that vanish, memory that comes back."""

import base64
import hashlib
import json
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.checkpoint import CONFIG, WEIGHTS
from tests.versions import SHIPPED, memory_mb, serving_process, write_version

IMAGE = (Path(__file__).parents[1] / "data/inputs/cactus.png").read_bytes()
ITEM = {"image": base64.b64encode(IMAGE).decode(), "text": "cactus", "num_labels": 0}


def check(answer: dict[str, Any]) -> int:
    """That labels and matches are of the version that answered."""
    version = answer["model"]["version"]
    labels = [scored["label"] for scored in answer["classes"]["category"]]
    assert len(labels) == 6
    assert all(label.endswith(f" v{version}") for label in labels), (version, labels)
    assert len(answer["matches"]) == 5
    assert all(match["text"] == f"v{version}" for match in answer["matches"]), (version, answer["matches"])
    return int(version)


class Asking(threading.Thread):
    """Predicts again and again over one connection: single items, and batches, which have one version each."""

    def __init__(self, base_url: httpx.URL, stop: threading.Event) -> None:
        super().__init__()
        self.client, self.stop = httpx.Client(base_url=base_url, timeout=30), stop
        self.versions: Counter[int] = Counter()
        self.failures: list[str] = []

    def run(self) -> None:
        with self.client:
            while not self.stop.is_set() and not self.failures:
                try:
                    self.versions.update(self.ask())
                except Exception as error:  # the test looks at it
                    self.failures.append(repr(error))

    def ask(self) -> set[int]:
        if self.versions.total() % 5 == 4:
            answer = self.client.post("/predict/batch", json={"items": [ITEM] * 3})
            assert answer.status_code == 200, answer.text
            versions = {check(result) for result in answer.json()["results"]}
            assert len(versions) == 1
            return versions
        answer = self.client.post("/predict", json=ITEM)
        assert answer.status_code == 200, answer.text
        return {check(answer.json())}


@contextmanager
def asked_all_the_while(client: httpx.Client, count: int = 8) -> Iterator[list[Asking]]:
    stop = threading.Event()
    clients = [Asking(client.base_url, stop) for _ in range(count)]
    for one in clients:
        one.start()
    try:
        yield clients
    finally:
        stop.set()
        for one in clients:
            one.join(30)
    assert [failure for one in clients for failure in one.failures] == []


def until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return true


def test_versions_are_swapped_under_load_without_a_failed_or_mixed_answer(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    for version in (1, 2, 3):
        write_version(root, version)
    with serving_process(root, tmp_path / "log", "--models", "tiny") as (client, _):
        assert check(client.post("/predict", json=ITEM).json()) == 3
        with asked_all_the_while(client) as clients:
            for version in (1, 2, 3, 1, 2, 3, 1, 2):
                loaded = client.post("/models/tiny/load", json={"version": version})
                assert loaded.status_code == 200, loaded.text
                assert check(client.post("/predict", json=ITEM).json()) == version
                assert client.get("/health/ready").status_code == 200
            broken = write_version(root, 4)
            (broken / WEIGHTS).write_bytes(b"cut short")
            refused = client.post("/models/tiny/load")
            assert (refused.status_code, str(tmp_path) in refused.text) == (409, False)
            assert check(client.post("/predict", json=ITEM).json()) == 2
        seen = sum((one.versions for one in clients), Counter())
        assert set(seen) == {1, 2, 3}
    entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    statuses = Counter(entry["status"] for entry in entries if entry["message"] == "request")
    assert set(statuses) == {200, 409}
    assert statuses[409] == 1


def test_a_newer_version_is_found_and_swapped_in_and_a_half_copied_one_only_when_it_is_whole(
    tmp_path: Path,
) -> None:
    root = tmp_path / "checkpoints"
    write_version(root, 1)
    whole = write_version(tmp_path / "elsewhere", 2)
    with (
        serving_process(root, tmp_path / "log", "--models", "tiny", "--poll-seconds", "0.1") as (client, _),
        asked_all_the_while(client, 2),
    ):

        def current() -> int:
            return check(client.post("/predict", json=ITEM).json())

        # As `cp -r` may do it: config.json is there before the weights are.
        shutil.copytree(whole, root / "tiny/2", ignore=shutil.ignore_patterns(WEIGHTS))
        metric = 'intermodal_model_loads_total{name="tiny",outcome="refused"}'
        assert until(lambda: metric in client.get("/metrics").text)
        assert current() == 1
        shutil.copy(whole / WEIGHTS, root / "tiny/2")
        assert until(lambda: current() == 2)


def test_what_is_loaded_does_not_need_its_files(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    folder = write_version(root, 1)
    with serving_process(root, tmp_path / "log", "--models", "tiny") as (client, _):
        before = client.post("/predict", json=ITEM).json()
        image_urls = [match["image_url"] for match in before["matches"]]
        images = [client.get(url).content for url in image_urls]
        for path in folder.rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:100])  # in place, as a full disk may leave it
        for clean in ("truncated", "deleted"):
            if clean == "deleted":
                for path in [path for path in root.rglob("*") if path.is_file()]:
                    path.unlink()
            after = client.post("/predict", json=ITEM).json()
            assert {**after, "request_id": ""} == {**before, "request_id": ""}
            assert [client.get(url).content for url in image_urls] == images
            assert client.post("/search", json={"text": "cactus"}).status_code == 200
            assert client.get("/health/ready").status_code == 200
            assert client.post("/models/tiny/load", json={"version": 1}).status_code == 200  # it is loaded
        assert client.get("/models/tiny").json()["available"] == []
        assert client.post("/models/tiny/load").status_code == 404
        assert check(client.post("/predict", json=ITEM).json()) == 1


def test_a_pinned_checkpoint_lets_no_other_version_in(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    digest = hashlib.sha256((write_version(root, 1) / CONFIG).read_bytes()).hexdigest()
    flags = ("--models", "tiny", "--checkpoint-sha256", digest)
    with serving_process(root, tmp_path / "log", *flags) as (client, _):
        write_version(root, 2)
        refused = client.post("/models/tiny/load")
        assert refused.status_code == 409
        assert "INTERMODAL_CHECKPOINT_SHA256" in refused.json()["detail"]
        assert check(client.post("/predict", json=ITEM).json()) == 1


@pytest.mark.clock
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory by /proc")
def test_unloading_gives_the_memory_back(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    for version in (1, 2):
        write_version(root, version, source=SHIPPED)
    with serving_process(root, tmp_path / "log", "--models", "fashion@1") as (client, pid):

        def load() -> None:
            loaded = client.post("/models/fashion/load", json={"version": 2, "current": False})
            assert loaded.status_code == 200, loaded.text
            answer = client.post("/models/fashion/versions/2/predict", json=ITEM)
            assert answer.status_code == 200, answer.text

        def unload() -> None:
            unloaded = client.post("/models/fashion/unload", json={"version": 2})
            assert unloaded.status_code == 200, unloaded.text  # and then nobody asks anything

        load()
        unload()
        time.sleep(2)
        before = memory_mb(pid)
        load()
        loaded = memory_mb(pid)
        assert loaded - before > 15  # its weights alone are more
        unload()
        assert until(lambda: memory_mb(pid) < loaded - (loaded - before) / 2), (before, loaded, memory_mb(pid))
