"""The application under a real Ray on this machine: served, updated, scaled out; and a manifest scored."""

import csv
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-ray" / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="Ray has a venv of its own: make .venv-ray/.installed"),
]


def run(*arguments: str, status: int = 0) -> list[str]:
    """A program of Ray's Python, and the lines that it prints; a quarter of a minute goes into starting Ray."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [str(PYTHON), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == status, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_ray_serves_updates_without_a_lost_request_and_scales_out() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    seen: dict[str, Any] = json.loads(run("tests/deploy/ray_driver.py", str(port))[-1])
    assert seen.pop("num_during_update") > 0
    assert seen == {
        "first": 200,
        "replicas": 2,
        "replicas_after_update": True,
        "during_update": [200],
        "scaled_out": True,
        "statuses": [200],
    }


def test_ray_data_writes_one_line_for_each_row_in_their_order(tmp_path: Path) -> None:
    rows = [{"id": f"r{number}", "title": "" if number == 1500 else f"shirt {number}"} for number in range(2001)]
    manifest, out = tmp_path / "own.csv", tmp_path / "scores"
    with manifest.open("w", newline="") as file:
        table = csv.DictWriter(file, ["id", "title"])
        table.writeheader()
        table.writerows(rows)
    command = ["-m", "deploy.ray.score", str(manifest), "--id=id", "--text=title", "--models=fashion"]
    command += ["--out", str(out)]
    run(*command, status=1)  # one row is a problem
    lines = [json.loads(line) for part in sorted(out.iterdir()) for line in part.read_text().splitlines()]
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    assert [line["id"] for line in lines if line["status"] != 200] == ["r1500"]
    assert run(*command)[-1].endswith("all 2,001 rows are there")
