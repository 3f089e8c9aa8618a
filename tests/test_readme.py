"""README's shell blocks are run as they stand, in a folder that looks like the repository's.

The comment before a block says how: `serve` (a service is started in place of `make serve`, which would
install a venv), `ask` (run against that service), `train` (with this interpreter for `.venv`'s) or `skip`."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("serve", "ask", "train", "skip")
START_SECONDS = 60
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:<!-- test: (\w+) -->\n)?```sh\n(.*?)```", README, flags=re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCKS if found == kind]


def commands(kind: str) -> list[str]:
    return [line for text in blocks(kind) for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files under another folder, so that what the blocks write is thrown away."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("app", "models", "retrieval", "training", "recipes", "samples", "checkpoints"):
        (folder / name).symlink_to(ROOT / name)
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    # Not a symlink: Python would look for the packages of the venv that it was started from.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def address(clone: Path) -> Iterator[str]:
    """The address of a service that serves the shipped checkpoints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = clone / "service.log"
    with log.open("w") as out:
        command = [".venv/bin/python", "-m", "app", "serve", "--port", str(port)]
        service = subprocess.Popen(command, cwd=clone, env=environment(), stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/health/ready", service, log)
            yield f"127.0.0.1:{port}"
        finally:
            service.terminate()
            service.wait(timeout=60)


def environment() -> dict[str, str]:
    """This process's, without settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("INTERMODAL_")}


def wait_until_ready(url: str, service: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and service.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - an address of this file
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the service is not ready:\n{log.read_text()}")


def test_every_block_says_how_it_is_tested() -> None:
    assert BLOCKS
    assert [text for kind, text in BLOCKS if kind not in KINDS] == []


def test_the_service_is_started_with_make_serve() -> None:
    assert commands("serve") == ["make serve"]
    assert "-m app serve" in (ROOT / "Makefile").read_text()


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def answer_to(command: str, folder: Path, address: str) -> Any:
    asked = shell(command.replace("127.0.0.1:8000", address), folder)
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)


needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="README asks with curl, which is not installed"
)


@needs_curl
@pytest.mark.parametrize("command", commands("ask"))
def test_a_request_of_the_readme_is_answered(command: str, clone: Path, address: str) -> None:
    answer = answer_to(command, clone, address)
    assert "status" not in answer, answer  # a problem has one
    assert answer["model"]["name"] == "fashion"


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
    for command in commands("train"):
        run = shell(command, clone)
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
    assert (clone / "runs/checkpoints/emoji/1/config.json").is_file()
    assert "image+text" in json.loads((clone / "runs/emoji.json").read_text())["subsets"]
    assert (clone / "runs/emoji/REPORT.md").is_file()
