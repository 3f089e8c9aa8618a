"""README's shell blocks are run as they stand, in a folder that looks like the repository's.

The comment before a block says how: `serve` (a service is started in place of `make serve`, which would
install a venv), `ask`, `hear`, `drive`, `keep` and `write` (run against that service), `train` (with this
interpreter for `.venv`'s) or `skip`."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.documents import ROOT, blocks, commands, free_port, make_clone, service, shell

KINDS = ("serve", "ask", "hear", "drive", "keep", "write", "train", "skip")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def address(clone: Path) -> Iterator[str]:
    """The address of a service that serves the shipped checkpoints."""
    with service(".venv/bin/python -m app serve", clone, free_port()) as address:
        yield address


def test_every_block_says_how_it_is_tested() -> None:
    assert blocks(README)
    assert [text for kind, text in blocks(README) if kind not in KINDS] == []


def test_the_service_is_started_with_make_serve() -> None:
    assert commands(README, "serve") == ["make serve"]
    assert "-m app serve" in (ROOT / "Makefile").read_text()


def answer_to(command: str, folder: Path, address: str) -> Any:
    asked = shell(command.replace("127.0.0.1:8000", address), folder)
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)


needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="README asks with curl, which is not installed"
)


@needs_curl
@pytest.mark.parametrize("command", commands(README, "hear"))
def test_the_recording_of_the_readme_is_read(command: str, clone: Path, address: str) -> None:
    answer = answer_to(command, clone, address)
    assert answer["model"]["name"] == "digits"
    assert answer["text"] == "four zero seven nine two"


@needs_curl
@pytest.mark.parametrize("command", commands(README, "drive"))
def test_a_car_that_hears_stop_brakes(command: str, clone: Path, address: str) -> None:
    answer = answer_to(command, clone, address)
    assert answer["modalities_used"] == ["image", "audio", "sensors"]
    assert answer["classes"]["command"][0]["label"] == "stop"
    assert answer["values"]["brake"]["value"] > 0.5 > answer["values"]["gas"]["value"]


@needs_curl
@pytest.mark.parametrize("command", commands(README, "ask"))
def test_a_request_of_the_readme_is_answered(command: str, clone: Path, address: str) -> None:
    answer = answer_to(command, clone, address)
    assert "status" not in answer, answer  # a problem has one
    assert answer["model"]["name"] == "fashion"


@needs_curl
@pytest.mark.parametrize("command", commands(README, "write"))
def test_a_title_comes_in_pieces_that_are_the_whole(command: str, clone: Path, address: str) -> None:
    told = shell(command.replace("127.0.0.1:8000", address), clone).stdout
    *pieces, whole = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
    assert pieces  # as few as one: they are told every 20 ms, and a title is written in less
    assert "".join(piece["text"] for piece in pieces) == whole["text"]
    assert whole["model"]["name"] == "fashion"


@needs_curl
def test_what_the_readme_puts_in_is_found(clone: Path, address: str) -> None:
    made, put, written, found, weighed, classified = (
        answer_to(command, clone, address) for command in commands(README, "keep")
    )
    assert (made["name"], made["model"]) == ("shop", "fashion")
    assert (put["id"], put["labels"]) == ("mine", {"place": "Ulm"})
    assert [result["status"] for result in written["results"]] == [201, 201]
    assert [match["id"] for match in found["matches"]] == ["mine"]
    assert len(weighed["matches"]) == 5
    assert classified["labels"][0]["label"] == "t-shirt"
    assert (clone / "data/galleries/shop.db").exists()


@needs_curl
def test_the_answer_that_the_readme_shows_is_the_real_one(clone: Path, address: str) -> None:
    shown = re.search(r"```console\n\$ (.*?)\n(\{.*?)```", README, flags=re.DOTALL)
    assert shown is not None
    words, scores = taken_apart(json.loads(shown[2]))
    real_words, real_scores = taken_apart(answer_to(shown[1], clone, address))
    assert real_words == words
    assert real_scores == pytest.approx(scores, abs=0.01)


def taken_apart(answer: dict[str, Any]) -> tuple[str, list[float]]:
    """The answer without scores and request_id, and the scores in order: processors round differently."""
    del answer["request_id"]
    pattern = r'(?<="score": )-?[\d.e-]+'
    text = json.dumps(answer, sort_keys=True)
    return re.sub(pattern, "…", text), [float(score) for score in re.findall(pattern, text)]


@pytest.mark.slow
def test_the_training_commands_of_the_readme_make_a_version(clone: Path) -> None:
    for command in commands(README, "train"):
        run = shell(command, clone)
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
    assert (clone / "runs/checkpoints/emoji/1/config.json").is_file()
    assert "image+text" in json.loads((clone / "runs/emoji.json").read_text())["subsets"]
    assert (clone / "runs/emoji/REPORT.md").is_file()
