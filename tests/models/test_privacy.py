"""Nothing that runs here reports to anyone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("module", ["app.server", "app.loading", "models.onnx_engine", "training.export"])
def test_onnx_runtime_is_told_to_report_nothing_and_leaves_no_identifier(module: str, tmp_path: Path) -> None:
    program = f"""
import os, sys
import {module}
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
"""
    hidden = ("ORT_", "XDG_", "CI", "PYTEST")  # with some of which it keeps quiet of its own accord
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert [path for path in tmp_path.rglob("*") if "onnx" in path.name.lower()] == []
