"""The shipped driver in the simulator, through a service in a process of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tiny import ROOT
from tests.versions import serving_process
from training.__main__ import main
from training.driving.client import reach
from training.driving.commands import COMMANDS
from training.driving.pilot import png
from training.driving.recorder import FIRST_UNSEEN_SEED
from training.driving.simulator import Simulator

pytestmark = pytest.mark.slow

UNSEEN = str(FIRST_UNSEEN_SEED + 5_000)
"""Of a track that no figure of docs/driving.md is of."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    log = tmp_path_factory.mktemp("driving") / "log"
    with serving_process(ROOT / "checkpoints", log, "--models", "driving") as (client, _):
        yield client


def drive(service: httpx.Client, out: Path, *flags: str) -> dict[str, Any]:
    url = str(service.base_url)
    assert main(["drive", "--url", url, "--tracks", "1", "--seed", UNSEEN, "--out", str(out), *flags]) == 0
    found: dict[str, Any] = json.loads((out / "drive.json").read_text())
    assert found["answers"]["way"] == "WS /predict/stream"
    assert found["answers"]["failed"] == 0
    return found


def test_one_answer_rests_on_all_four_modalities(service: httpx.Client) -> None:
    simulator = Simulator()
    try:
        observation = simulator.reset(int(UNSEEN))
        files = {"image": png(observation), "audio": (ROOT / "samples/commands/left-a7545b9f.wav").read_bytes()}
        stream = reach(str(service.base_url), "driving")
        try:
            reply = stream.ask({"sensors": observation.sensors, "text": "left", "retrieve": False}, files)
        finally:
            stream.close()
    finally:
        simulator.close()
    assert reply.content["modalities_used"] == ["image", "text", "audio", "sensors"]
    assert set(reply.content["values"]) == {"steer", "gas", "brake"}
    assert reply.content["classes"]["command"][0]["label"] == "left"
    assert len(COMMANDS) == 6


def test_it_drives_a_lap_that_it_has_never_seen(service: httpx.Client, tmp_path: Path) -> None:
    found = drive(service, tmp_path)
    assert found["laps_finished"] == 1
    assert found["reward"]["mean"] > 850
    assert found["off_road_share"] == 0
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".gif", ".png"}


def test_it_does_what_it_is_told(service: httpx.Client, tmp_path: Path) -> None:
    found = drive(service, tmp_path, "--commands", "--films", "0")
    obeyed = found["obeyed"]["all"]
    assert obeyed["given"] >= 5
    assert obeyed["obeyed"] >= obeyed["given"] - 1


@pytest.mark.parametrize(
    "broken",
    [
        ["--without", "image"],
        ["--fault", "frozen_camera"],
        ["--fault", "noisy_camera"],
        ["--fault", "late_answers"],
    ],
)
def test_without_eyes_or_in_time_it_brakes_to_a_standstill(
    service: httpx.Client, tmp_path: Path, broken: list[str]
) -> None:
    found = drive(service, tmp_path, *broken, "--from-tick", "300", "--films", "0")
    assert found["standstill"]["stood"] == 1
    assert found["standstill"]["seconds"]["most"] < 4


@pytest.mark.parametrize("explain", ["false", "true"])
def test_inputs_not_to_be_trusted_are_told_explained_or_not(service: httpx.Client, explain: str) -> None:
    photo = (ROOT / "samples/images/t-shirt.png").read_bytes()
    road = (ROOT / "samples/frames/bend.png").read_bytes()
    for picture, trusted in ((photo, False), (road, True)):
        files = {"image": ("x.png", picture, "image/png")}
        answer = service.post("/predict", files=files, data={"text": "go", "explain": explain}).json()
        assert answer["trust"]["ok"] is trusted
        reasons = {(reason["kind"], reason["about"]) for reason in answer["trust"]["reasons"]}
        assert (("unfamiliar", "image") in reasons) is not trusted
    wild = {"text": "go", "sensors": '{"speed": 9999}', "explain": explain}
    answer = service.post("/predict", files={"image": ("x.png", road, "image/png")}, data=wild).json()
    assert answer["trust"] == {"ok": False, "reasons": [{"kind": "out_of_range", "about": "speed"}]}
    assert answer["out_of_range"]["speed"]["value"] == 9999
