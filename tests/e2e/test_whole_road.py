"""Samples → train → checkpoint → serve → predict, each as its own process, as a person would run them."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.checkpoint import CheckpointConfig, read_checkpoint
from models.decode import decode_image
from models.predictor import load_predictor
from models.sample import Sample
from tests.tiny import ROOT, SAMPLES

pytestmark = pytest.mark.slow

RECIPE = ROOT / "tests" / "data" / "tiny.toml"
MANIFEST = SAMPLES / "emoji.csv"
IMAGE = SAMPLES / "images" / "t-shirt.png"
TEXT = "t-shirt"
PATIENCE_S = 120
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("INTERMODAL_")} | {
    # Two threads that wait for one another take five times as long where a core is busy.
    "OMP_NUM_THREADS": "1",
    "INTERMODAL_SETTINGS_FILE": os.devnull,
}


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.returncode, out, err


def run(*arguments: object) -> str:
    status, out, err = finish(start(*arguments))
    assert status == 0, err
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def version(folder: Path) -> Path:
    """The folder that training printed on its last line."""
    out = run(
        "training", "train", RECIPE, "--data", MANIFEST, "--out", folder / "checkpoints", "--work", folder / "work"
    )
    return Path(out.splitlines()[-1])


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """`python -m app` on a free port, once /health/ready says so."""
    process = start("app", "--port", 0, "--checkpoints", folder / "checkpoints", "--data", folder / "data", *flags)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        url = next((found[1] for line in lines if (found := re.search(r"Ready at (http://\S+)", line))), None)
        assert url is not None, process.communicate()[1]
        with httpx.Client(base_url=url, timeout=30) as client:
            deadline = time.monotonic() + 30
            while client.get("/health/ready").status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield client, process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def client(folder: Path, version: Path) -> Iterator[httpx.Client]:
    with serving(folder) as (client, _):
        yield client


def test_check_finds_no_fault_in_the_samples() -> None:
    out = run("training", "check", RECIPE, "--data", MANIFEST)
    assert "no faults. 216 rows (train 150  val 30  test 36), 216 distinct images" in out


def test_training_prints_the_folder_of_a_whole_version(folder: Path, version: Path) -> None:
    assert version == folder / "checkpoints" / "tiny" / "1"
    checkpoint = read_checkpoint(version)
    assert checkpoint.config.network.classes["category"].labels[1] == "Flags"
    assert checkpoint.gallery_path is not None
    assert list((folder / "work").iterdir()) == [folder / "work" / "cache"]


def expected(version: Path, *, image: bool = True, text: bool = True) -> dict[str, float]:
    """The scores that the checkpoint gives in this process."""
    predictor = load_predictor(read_checkpoint(version), engine="onnx")
    pixels = decode_image(IMAGE.read_bytes(), side_px=64) if image else None
    (prediction,) = predictor.predict([predictor.prepare(Sample(image=pixels, text=TEXT if text else None))])
    labels = predictor.config.network.classes["category"].labels
    return dict(zip(labels, map(float, prediction.scores["category"]), strict=True))


def checked(response: httpx.Response, *modalities: str) -> dict[str, float]:
    """The scores of an answer that keeps the contract."""
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert set(body) == {"model", "modalities_used", "classes", "matches", "request_id"}
    assert body["model"] == {"name": "tiny", "version": 1}
    assert body["modalities_used"] == list(modalities)
    assert body["request_id"] == response.headers["X-Request-ID"]
    cosines = [match["score"] for match in body["matches"]]
    assert len(cosines) == 5
    assert cosines == sorted(cosines, reverse=True)
    assert {"id", "score", "text", "labels", "metadata", "image_url"} == set(body["matches"][0])
    scores = {entry["label"]: entry["score"] for entry in body["classes"]["category"]}
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    return scores


def test_one_item_in_three_media_types_has_one_answer(client: httpx.Client, version: Path) -> None:
    data = IMAGE.read_bytes()
    encoded = base64.b64encode(data).decode()
    fields = {"text": TEXT, "num_labels": "0"}
    responses = [
        client.post("/predict", files={"image": ("t-shirt.png", data, "image/png")}, data=fields),
        client.post("/predict", json={"image": encoded, "text": TEXT, "num_labels": 0}),
        client.post("/predict", json={"image": f"data:image/png;base64,{encoded}", "text": TEXT, "num_labels": 0}),
        client.post("/predict", content=data, headers={"Content-Type": "image/png"}, params=fields),
        client.post("/models/tiny/versions/1/predict", json={"image": encoded, "text": TEXT, "num_labels": 0}),
    ]
    for response in responses:
        assert checked(response, "image", "text") == pytest.approx(expected(version), abs=1e-4)


def test_any_subset_is_answered(client: httpx.Client, version: Path) -> None:
    image = client.post("/predict", files={"image": IMAGE.read_bytes()}, data={"num_labels": "0"})
    assert checked(image, "image") == pytest.approx(expected(version, text=False), abs=1e-4)
    text = client.post("/predict", json={"text": TEXT, "num_labels": 0})
    assert checked(text, "text") == pytest.approx(expected(version, image=False), abs=1e-4)


def test_a_match_has_a_picture_that_answers(client: httpx.Client) -> None:
    match = client.post("/predict", json={"text": TEXT}).json()["matches"][0]
    picture = client.get(match["image_url"])
    assert picture.headers["Content-Type"] == "image/jpeg"
    assert max(decode_image(picture.content, side_px=64).shape) == 32


def test_the_other_routes_know_the_same_model(client: httpx.Client) -> None:
    embedding = client.post("/embed", json={"text": TEXT}).json()
    assert np.linalg.norm(embedding["embedding"]) == pytest.approx(1, abs=1e-4)
    assert embedding["dimensions"] == len(embedding["embedding"]) == 16
    results = client.post("/predict/batch", json={"items": [{"text": TEXT}, {"image": "no image"}]}).json()[
        "results"
    ]
    assert [result["status"] for result in results] == [200, 422]
    model = client.get("/models/tiny").json()
    assert model["engine"] == "onnx"


def test_the_torch_engine_answers_the_same(folder: Path, version: Path) -> None:
    with serving(folder, "--engine", "torch") as (client, _):
        assert client.get("/models/tiny").json()["engine"] == "torch"
        answer = client.post(
            "/predict", files={"image": IMAGE.read_bytes()}, data={"text": TEXT, "num_labels": "0"}
        )
        assert checked(answer, "image", "text") == pytest.approx(expected(version), abs=1e-3)


def test_sigterm_ends_the_service_with_status_0(folder: Path, version: Path) -> None:
    with serving(folder) as (client, process):
        assert client.post("/predict", json={"text": TEXT}).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Traceback" not in err


def test_a_tampered_checkpoint_is_not_served(folder: Path, version: Path) -> None:
    copy = folder / "tampered" / "checkpoints" / "tiny" / "1"
    shutil.copytree(version, copy)
    data = bytearray((copy / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(data)
    process = start("app", "--port", 0, "--checkpoints", copy.parent.parent)
    status, _, err = finish(process)
    assert status == 1
    assert "weights.safetensors was altered or cut short" in err
    assert "Traceback" not in err


def test_evaluate_gives_the_figures_that_training_gave(folder: Path, version: Path) -> None:
    file = folder / "figures.json"
    out = run("training", "evaluate", version, MANIFEST, "--split", "test", "--json", file)
    figures = json.loads(file.read_text())
    assert json.loads(out) == figures
    assert (figures["checkpoint"], figures["split"], figures["rows"]) == ("tiny/1", "test", 36)
    assert set(figures["subsets"]) == {"image", "text", "image+text"}
    pair = figures["subsets"]["image+text"]
    assert 0 <= pair["category"]["accuracy"] <= 1
    for way in ("text_to_image", "image_to_text"):
        assert {"r@1", "r@5", "r@10", "median_rank"} <= set(pair["retrieval"][way])
    assert figures["subsets"] == json.loads((version / "metrics.json").read_text())["test"]


@pytest.mark.clock
def test_training_that_is_interrupted_says_so_and_resumes(tmp_path: Path) -> None:
    recipe = tmp_path / "long.toml"
    recipe.write_text(RECIPE.read_text().replace("epochs = 5\nbatch_size = 32", "epochs = 12\nbatch_size = 8"))
    arguments = ("training", "train", recipe, "--data", MANIFEST, "--out", tmp_path, "--work", tmp_path / "work")
    state = tmp_path / "work" / "tiny.state.safetensors"
    process = start(*arguments)
    deadline = time.monotonic() + PATIENCE_S
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    # The text stage is finished, the joint one is not. SIGTERM, for SIGINT is ignored by whatever a shell without
    # job control started in the background, this test's own process among it.
    process.send_signal(signal.SIGTERM)
    status, out, err = finish(process)
    assert status == 143, err
    assert out == ""
    assert "text 1/1" in err
    assert "run the same command with --resume" in err
    assert "Traceback" not in err
    assert not (tmp_path / "tiny").exists()

    status, out, err = finish(start(*arguments, "--resume"))
    assert status == 0, err
    assert "text 1/1" not in err
    config: CheckpointConfig = read_checkpoint(Path(out.splitlines()[-1])).config
    assert config.version == 1
    assert not state.exists()
