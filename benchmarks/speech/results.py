"""Where figures are kept, with what made them."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.retrieval.index import commit, cpu_model
from benchmarks.serving.report import packages
from benchmarks.serving.requests import ROOT

OUT = ROOT / "benchmarks/results/speech.json"


def keep(
    name: str,
    command: str,
    found: dict[str, Any],
    *,
    out: Path = OUT,
    python: str = sys.executable,
    libraries: Sequence[str] = ("numpy", "onnxruntime", "torch"),
) -> None:
    """Add figures to the file of results under `name`, and print them.

    command: as it is typed after `python -m benchmarks.speech`; without paths of this machine.
    """
    kept = json.loads(out.read_text()) if out.exists() else {}
    kept[name] = {
        "command": f"python -m benchmarks.speech {command}",
        "commit": commit(),
        "hardware": f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "packages": packages(python, list(libraries)),
        "load": [round(part, 2) for part in os.getloadavg()],
        **found,
    }
    out.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(found, indent=1))
