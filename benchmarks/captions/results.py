"""Where figures are kept, with what made them; and the checkpoint that they are of."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.captions.made import write
from benchmarks.retrieval.index import commit, cpu_model
from benchmarks.serving.report import packages
from benchmarks.serving.requests import ROOT

OUT = ROOT / "benchmarks/results/captions.json"


def checkpoint_of(given: Path | None) -> tuple[Path, str]:
    """A version's folder and what it is; where none is given, one with random weights, made for this run."""
    if given is not None:
        return given, f"{given.parent.name} {given.name}"
    return write(
        Path(tempfile.mkdtemp(prefix="captions-"))
    ), "random weights of recipes/flickr8k_caption.toml's size"


def trained_of(options: argparse.Namespace) -> str:
    """The options that name files, as they stand in a command that is kept."""
    given = [name for name in ("checkpoint", "images") if getattr(options, name)]
    return "".join(f"--{name} <{name}> " for name in given)


def keep(name: str, command: str, found: dict[str, Any], *, libraries: Sequence[str], python: str = "") -> None:
    """Add figures to the file of results under `name`, and print them; `command` has no path of this machine."""
    kept = json.loads(OUT.read_text()) if OUT.exists() else {}
    kept[name] = {
        "command": f"python -m benchmarks.captions {command}",
        "commit": commit(),
        "hardware": f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "packages": packages(python or sys.executable, list(libraries)),
        "load": [round(part, 2) for part in os.getloadavg()],
        **found,
    }
    OUT.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(found, indent=1))
