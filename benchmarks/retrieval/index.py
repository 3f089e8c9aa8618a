"""Our index beside brute force and bare libraries: recall@10, queries a second, build rate and memory.

Of every rival the least width whose recall is 0.99 is taken, so that none answers more exactly, and more slowly,
than it must. Ours is measured as it is served, and again with its width chosen likewise."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.vectors import NOISE, jittered, nearest, real
from benchmarks.retrieval.worker import SIZE
from benchmarks.serving.report import packages
from benchmarks.serving.requests import ROOT
from retrieval.graph import search_width

RECALL = 0.99
LEAST = "ours, least width"
PASS_SECONDS = 0.5  # of each index in each round
WIDTHS = (10, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
RIVALS = "exact,faiss-f32-16,faiss-f16-16,faiss-f32-32,usearch-f32-16,usearch-f16-16,hnswlib-f32-16,hnswlib-f32-32"
SHARES = (0.001, 0.03, 0.1, 0.5)
OUT = ROOT / "benchmarks/results/retrieval_index.json"


class Process:
    """A worker that is asked by lines."""

    def __init__(self, name: str, python: str, folder: Path, stack: ExitStack) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.name = name
        self._process = stack.enter_context(
            subprocess.Popen(
                [python, "-m", "benchmarks.retrieval.worker", name, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environment,
            )
        )
        stack.callback(self._process.terminate)

    def ask(self, job: str, **words: Any) -> dict[str, Any]:
        """The worker's answer. Raises RuntimeError where it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"job": job, **words}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the worker ended")
        answer: dict[str, Any] = json.loads(line)
        print(self.name, job, words, answer, flush=True)
        return answer


def least_width(process: Process, count: int) -> int | None:
    """The smallest that reaches the recall, on the queries that are timed; None where none does."""
    for width in WIDTHS:
        if process.ask("ask", width=width, count=count)["recall"] >= RECALL:
            return width
    return None


def write_vectors(folder: Path, options: argparse.Namespace) -> int:
    """The files that workers read; how many embeddings are real."""
    random = np.random.default_rng(0)
    base = real(options.gallery, options.dimensions)
    vectors, queries = jittered(base, options.count, random), jittered(base, options.queries, random)
    arrays: dict[str, NDArray[Any]] = {
        "vectors": vectors,
        "queries": queries,
        "truth": nearest(vectors, queries).astype(np.int64),
    }
    for name, array in arrays.items():
        array.tofile(folder / name)
    (folder / SIZE).write_text(json.dumps({name: array.shape for name, array in arrays.items()}))
    return len(base)


def contest(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Build all, choose widths, and ask in rounds."""
    names = ["ours", *filter(None, options.rivals.split(","))]
    with ExitStack() as stack:
        processes = {
            name: Process(name, sys.executable if name in ("ours", "exact") else options.python, folder, stack)
            for name in names
        }
        built = {name: process.ask("build") for name, process in processes.items()}
        found = {"ours": {**built["ours"], "width": search_width(options.count)}}
        for name, process in processes.items():
            width = None if name == "exact" else least_width(process, options.queries)
            found[LEAST if name == "ours" else name] = {**built[name], "width": width}
        rounds = turns(processes, found, options)
        for shown, answers in rounds.items():
            speeds = [answer["per_s"] for answer in answers]
            found[shown] |= {"recall": answers[0]["recall"], "per_s": statistics.median(speeds)}
            found[shown]["per_s_rounds"] = speeds
        processes["ours"].ask("ask", width=search_width(options.count), count=20)
        filters = [processes["ours"].ask("filtered", share=share, count=100) for share in SHARES]
    return {"indexes": found, "filters": filters}


def turns(
    processes: dict[str, Process], found: dict[str, dict[str, Any]], options: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    """What each answered in each round. One that reaches the recall at no width is not asked."""
    rounds: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.rounds):
        for shown, one in found.items():
            if one["width"] is None and shown != "exact":
                continue
            process = processes["ours" if shown == LEAST else shown]
            count = 100 if shown == "exact" else options.queries
            answer = process.ask("ask", width=one["width"], count=count, seconds=PASS_SECONDS)
            rounds.setdefault(shown, []).append(answer)
    return rounds


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Ours over the fastest library whose recall is enough: the median of the rounds' ratios, and their ends."""
    able = {
        name: one["per_s"]
        for name, one in found.items()
        if not name.startswith(("ours", "exact")) and one.get("recall", 0) >= RECALL
    }
    best = max(able, key=lambda name: able[name], default=None)
    told: dict[str, Any] = {"best_library": best}
    for name in ("ours", LEAST, "exact"):
        if best is not None and "recall" in found.get(name, {}):
            pairs = zip(found[name]["per_s_rounds"], found[best]["per_s_rounds"], strict=True)
            ratios = sorted(round(mine / theirs, 3) for mine, theirs in pairs)
            told[f"{name} over best"] = [statistics.median(ratios), ratios[0], ratios[-1]]
    return told


def without_speeds(found: Any) -> Any:
    """The figures that do not depend on what else the machine did."""
    if isinstance(found, dict):
        return {name: without_speeds(one) for name, one in found.items() if "per_s" not in name}
    return [without_speeds(one) for one in found] if isinstance(found, list) else found


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main(arguments: list[str]) -> None:
    """Measure one size; it is added to the file of results under its name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval index", description=__doc__)
    parser.add_argument("--gallery", type=Path, default=ROOT / "checkpoints/fashion/2/gallery")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rivals", default=RIVALS)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has the libraries")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--recall-only", action="store_true", help="keep no speeds: the machine is not quiet")
    options = parser.parse_args(arguments)
    load = [round(part, 2) for part in os.getloadavg()]
    with tempfile.TemporaryDirectory() as name:
        distinct = write_vectors(Path(name), options)
        found = contest(Path(name), options)
    told = summary(found["indexes"])
    if options.recall_only:
        found, told = without_speeds(found), {}
    libraries = sorted({one.split("-")[0] for one in options.rivals.split(",") if "-" in one})
    asked = asked_versions(options.python, libraries)
    kept = json.loads(options.out.read_text()) if options.out.exists() else {}
    kept[f"{options.count}x{options.dimensions}"] = {
        "command": "python -m benchmarks.retrieval index "
        f"--count {options.count} --dimensions {options.dimensions} --queries {options.queries} "
        f"--rounds {options.rounds} --rivals {options.rivals or repr('')}"
        f"{' --recall-only' if options.recall_only else ''} --python <python>",
        "commit": commit(),
        "hardware": f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores; one thread for each index",
        "python": platform.python_version(),
        "packages": asked,
        "load_before": load,
        "vectors": f"{distinct} real embeddings, copied with noise of length {NOISE}",
        "summary": told,
        **found,
    }
    options.out.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(told))


def commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def asked_versions(python: str, libraries: list[str]) -> dict[str, str]:
    """Of numpy and the libraries."""
    names = {"faiss": "faiss-cpu"}
    return packages(python, ["numpy", *(names.get(library, library) for library in libraries)])
