"""Versions on disk made from one small real checkpoint, and a whole process that serves them."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from models.checkpoint import CONFIG, embedding_id

ROOT = Path(__file__).parent.parent
SMALL = ROOT / "tests/data/old/1"
SHIPPED = ROOT / "checkpoints/fashion/2"


def write_version(root: Path, version: int, *, source: Path = SMALL) -> Path:
    """Version `version` of `source`: its labels end in ` v<version>`, and its items' texts are `v<version>`."""
    config = json.loads((source / CONFIG).read_text())
    folder = root / config["name"] / str(version)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(CONFIG))
    config["version"] = version
    for head in config["network"]["classes"].values():
        head["labels"] = [f"{label} v{version}" for label in head["labels"]]
    items = folder / "gallery/items.jsonl"
    rows = [json.loads(line) for line in items.read_text().splitlines()]
    items.write_text("".join(json.dumps({**row, "text": f"v{version}"}) + "\n" for row in rows))
    contents = {name: (folder / name).read_bytes() for name in config["files"]}
    config["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    config["embedding_id"] = embedding_id(contents, config["network"], config["preprocessing"])
    (folder / "partial").write_text(json.dumps(config))
    (folder / "partial").rename(folder / CONFIG)
    return folder


@contextmanager
def serving_process(root: Path, log: Path, *flags: str) -> Iterator[tuple[httpx.Client, int]]:
    """`python -m app` over the versions under `root`: a client of it, and its process id."""
    command = [sys.executable, "-W", "error", "-m", "app", "--port", "0", "--checkpoints", str(root), *flags]
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            ready = next((line for line in process.stdout if line.startswith("Ready")), None)
            assert ready is not None, log.read_text()
            with httpx.Client(base_url=ready.split()[2], timeout=30) as client:
                yield client, process.pid
            assert process.poll() is None, "the service died"
        finally:
            process.terminate()
            process.wait(30)


def memory_mb(pid: int) -> float:
    """A process's proportional share of memory (PSS)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) / 1000
