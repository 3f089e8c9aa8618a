"""Tokens a second beside `transformers`' generate, with a decoder of equal sizes; no image is encoded.

Rounds alternate between the two. Both write the likeliest tokens, as many as are asked for, with keys and values
kept. `transformers` has the better of one and two threads; this has what the service has: one thread for one text,
and for many two threads with half of them each."""

import argparse
import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.captions.results import checkpoint_of, keep
from benchmarks.serving.requests import ROOT
from models.caption import Writing
from models.checkpoint import read_checkpoint
from models.predictor import Predictor, load_predictor
from models.sample import Sample

RUNNER = ROOT / "benchmarks/rivals/transformers_runner.py"
Run = Callable[[int, int, int], dict[str, float]]


def ours(predictor: Predictor) -> Run:
    """Texts, tokens, threads → seconds, and seconds of CPU."""
    captioner = predictor.captioner
    if captioner is None:
        raise SystemExit(f"{predictor.config.name} writes no texts")
    rng = np.random.default_rng(0)

    def part(texts: int, tokens: int) -> Callable[[], None]:
        images = rng.integers(0, 256, (texts, 224, 224, 3), dtype=np.uint8)
        examples = [predictor.prepare(Sample(image=image)) for image in images]
        encoded = predictor.engine.encode(predictor.preprocessors.collate(examples))
        writings = [Writing(max_tokens=tokens, no_repeat_ngram=0)] * texts

        def write() -> None:
            found = captioner.caption(examples, writings, encoded=encoded)
            if {one.num_tokens for one in found} != {tokens}:
                raise SystemExit("a text ended before its time")

        return write

    def run(texts: int, tokens: int, threads: int) -> dict[str, float]:
        parts = [part(texts // threads, tokens) for _ in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            wall, cpu = perf_counter(), process_time()
            list(pool.map(lambda write: write(), parts))
            return {"seconds": perf_counter() - wall, "cpu_seconds": process_time() - cpu}

    return run


def theirs(process: "subprocess.Popen[str]") -> Run:
    """The same by the runner."""

    def run(texts: int, tokens: int, threads: int) -> dict[str, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"texts": texts, "tokens": tokens, "threads": threads}) + "\n")
        process.stdin.flush()
        found: dict[str, float] = json.loads(process.stdout.readline())
        return found

    return run


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.captions transformers", description=__doc__)
    parser.add_argument("--python", required=True, help="an interpreter that has torch and transformers")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    version, model = checkpoint_of(None)
    predictor = load_predictor(read_checkpoint(version), engine="onnx", num_threads=1)
    head = predictor.config.network.caption
    assert head is not None
    sizes = {
        "hidden": head.hidden,
        "layers": head.layers,
        "heads": head.heads,
        "feedforward": head.feedforward,
        "positions": head.max_tokens + 1,
        "vocabulary": len(head.tokens) + 3,
        "memory": 50,
    }
    command = [options.python, str(RUNNER), json.dumps(sizes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        parameters = json.loads(process.stdout.readline())["parameters"]
        contestants = {"ours": ours(predictor), "transformers": theirs(process)}
        setups = {1: {"ours": [1], "transformers": [1, 2]}, 16: {"ours": [2], "transformers": [1, 2]}}
        found: dict[str, Any] = {"model": model, "sizes": sizes, "parameters_of_theirs": parameters}
        for texts, threads in setups.items():
            found[f"{texts} at once"] = compare(contestants, texts, options.tokens, threads, options.rounds)
        process.terminate()
    shown = f"--tokens {options.tokens} --rounds {options.rounds} --python <python>"
    libraries = ("numpy", "onnxruntime", "torch", "transformers")
    keep("transformers", f"transformers {shown}", found, libraries=libraries, python=options.python)


def compare(
    contestants: dict[str, Run], texts: int, tokens: int, threads: dict[str, Sequence[int]], rounds: int
) -> dict[str, Any]:
    """Medians of rounds, and the ratio of each round's best."""
    seen: dict[str, dict[int, list[dict[str, float]]]] = {
        name: {number: [] for number in threads[name]} for name in contestants
    }
    for number in range(rounds + 1):
        for name, run in contestants.items():
            for count in threads[name]:
                took = run(texts, tokens, count)
                if number:  # the first warms up
                    seen[name][count].append(took)
    figures = {
        f"{name}, {count} threads": {
            "tokens_per_second": round(texts * tokens / statistics.median(one["seconds"] for one in each)),
            "cpu_ms_per_token": round(
                1000 * statistics.median(one["cpu_seconds"] for one in each) / texts / tokens, 3
            ),
        }
        for name, by_count in seen.items()
        for count, each in by_count.items()
    }

    def best(name: str, figure: str, number: int) -> float:
        return min(each[number][figure] for each in seen[name].values())

    ratios = {
        figure: sorted(best("transformers", figure, n) / best("ours", figure, n) for n in range(rounds))
        for figure in ("seconds", "cpu_seconds")
    }
    return {
        **figures,
        **{
            f"times as fast by {figure}": {
                "median": round(statistics.median(each), 2), "from": round(each[0], 2), "to": round(each[-1], 2)
            }
            for figure, each in ratios.items()
        },
    }  # fmt: skip
