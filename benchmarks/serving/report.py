"""Figures: quantiles of what a run saw, medians of rounds, and the file that keeps them."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.load import Record
from benchmarks.serving.requests import ROOT

RESULTS = ROOT / "benchmarks" / "results"


def quantile_ms(records: Sequence[Record], share: float) -> float | None:
    """A quantile of the records' latencies; None for no records."""
    ordered = sorted(record.seconds for record in records)
    return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else None


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    return {name: round(statistics.median(one[name] for one in rounds), 4) for name in rounds[0]}


def spread(rounds: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """The least and the most of a figure."""
    values = [one[name] for one in rounds]
    return [min(values), max(values)]


def slope_per_minute(points: Sequence[tuple[float, float]]) -> float | None:
    """Least squares over (seconds, value); None for fewer than two points."""
    if len(points) < 2:
        return None
    fit = statistics.linear_regression([seconds / 60 for seconds, _ in points], [value for _, value in points])
    return round(fit.slope, 4)


_VERSIONS = """
import importlib.metadata, json, sys
installed = {package.name.lower(): package.version for package in importlib.metadata.distributions()}
print(json.dumps({name: installed.get(name) for name in sys.argv[1:]}))
"""


def packages(python: str, names: Sequence[str]) -> dict[str, str]:
    """Versions of packages in the environment of another interpreter; those that are not there are left out."""
    asked = subprocess.run([python, "-c", _VERSIONS, *names], capture_output=True, text=True, check=True)
    found: dict[str, str | None] = json.loads(asked.stdout)
    return {name: version for name, version in found.items() if version is not None}


def write(
    name: str, images: Path | None, found: Mapping[str, Any], out: Path | None, *, hidden: str | None = None
) -> None:
    """Keep figures in benchmarks/results/, with the command, the hardware and the commit.

    Args:
        name: of the file.
        images: the folder that the command named, which is not kept: it is a path of one machine.
        found: the figures.
        out: another file.
        hidden: another path that the command named.
    """
    words = " ".join(sys.argv[1:])
    for path, shown in ((images, "<images>"), (hidden, "<python>"), (out, "<out>")):
        words = words.replace(str(path), shown) if path is not None else words
    result = {
        "command": f"python -m benchmarks.serving {words}".strip(),
        "hardware": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores, which server and load generator share",
        "python": platform.python_version(),
        "commit": _commit(),
        "load_before": [round(part, 2) for part in os.getloadavg()],
        **found,
    }
    out = out or RESULTS / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {out.relative_to(ROOT) if out.is_relative_to(ROOT) else out}")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
