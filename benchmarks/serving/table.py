"""The results that are kept, as Markdown tables for the documents."""

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.serving.report import RESULTS

SERVER_COLUMNS = ("items_per_s", "of_ceiling", "p50_ms", "p99_ms", "memory_pss_mb", "ready_seconds")
CEILING_COLUMNS = (
    "ceiling_per_s",
    "http_per_s",
    "ratio",
    "p50_ms",
    "p99_ms",
    "p99_over_fair_share",
    "server_cpu_beyond_ms",
    "client_cpu_ms",
)


def rows(cells: Iterable[Sequence[object]], head: Sequence[str]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def ceiling(found: dict[str, Any]) -> str:
    """A row for each number of connections."""
    cells = [
        [number, *(part["median"][column] for column in CEILING_COLUMNS)]
        for number, part in found["connections"].items()
    ]
    return rows(cells, ["connections", *CEILING_COLUMNS])


def rivals(found: dict[str, Any]) -> str:
    """A row for each server, the fastest first."""
    servers = sorted(found["servers"], key=lambda row: -row["median"]["of_ceiling"])
    cells = [[row["name"], row["form"], *(row["median"][column] for column in SERVER_COLUMNS)] for row in servers]
    return rows(cells, ["server", "form", *SERVER_COLUMNS])


def main(arguments: Sequence[str]) -> None:
    """Print the tables of what has been measured."""
    argparse.ArgumentParser(prog="python -m benchmarks.serving table", description=__doc__).parse_args(arguments)
    for name, table in (("serving", ceiling), ("rivals", rivals)):
        path = RESULTS / f"{name}.json"
        found = json.loads(path.read_text()) if path.exists() else {}
        if "commit" in found:
            print(f"{found['command']}, commit {found.get('commit')}\n\n{table(found)}")
