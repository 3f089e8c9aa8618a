"""Run the shell blocks of a document as they stand, in a folder that looks like the repository's.

The comment before a block says how: `<!-- test: train -->`, say, with the kinds of the document's own test."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60


def blocks(document: str) -> list[tuple[str, str]]:
    """Kind and text of each block of shell; the kind is empty where no comment says it."""
    return re.findall(r"(?:<!-- test: (\w+) -->\n)?```sh\n(.*?)```", document, flags=re.DOTALL)


def commands(document: str, kind: str) -> list[str]:
    """The lines of all blocks of a kind."""
    lines = [line for found, text in blocks(document) if found == kind for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def make_clone(folder: Path) -> Path:
    """Fill `folder` with the repository's files, so that what the blocks write is thrown away."""
    for name in ("app", "models", "retrieval", "training", "recipes", "samples", "checkpoints"):
        (folder / name).symlink_to(ROOT / name)
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    # Not a symlink: Python would look for the packages of the venv that it was started from.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return folder


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one line."""
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


@contextmanager
def service(command: str, folder: Path, port: int) -> Iterator[str]:
    """Run a service while the block lasts; yields its address once it is ready."""
    log = folder / "service.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command} --port {port}"],
            cwd=folder,
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/health/ready", process, log)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)


def environment() -> dict[str, str]:
    """This process's, without settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("INTERMODAL_")}


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - an address of this file
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the service is not ready:\n{log.read_text()}")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
