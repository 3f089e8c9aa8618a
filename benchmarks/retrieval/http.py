"""What HTTP adds to a search: `POST /search` of the service beside the same search in process, in turns.

A search by a vector needs no forward pass: what is left is the server's own, reading JSON, queue and answer."""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from app.checkpoints import Checkpoints
from app.settings import Settings
from app.stores import open_store
from benchmarks.retrieval.index import OUT, commit, cpu_model
from benchmarks.serving.exchange import Connection
from benchmarks.serving.requests import ROOT
from benchmarks.serving.servers import Server, free_port, running, service_command
from retrieval.gallery import Floats, Gallery, Query

TOP_K = 10
_PIECE = 100  # searches of one kind before the other's turn


def main(arguments: list[str]) -> None:
    """Measure; the figures are added to the file of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval http", description=__doc__)
    parser.add_argument("--searches", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    load = [round(part, 2) for part in os.getloadavg()]
    with tempfile.TemporaryDirectory() as data:
        found = _measure(Path(data), options.searches)
    kept = json.loads(options.out.read_text()) if options.out.exists() else {}
    kept["http"] = {
        "command": f"python -m benchmarks.retrieval http --searches {options.searches}",
        "commit": commit(),
        "hardware": f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores, which server and client share",
        "python": platform.python_version(),
        "load_before": load,
        **found,
    }
    options.out.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(found))


def _measure(data: Path, num_searches: int) -> dict[str, Any]:
    settings = Settings(checkpoints=ROOT / "checkpoints", data=data)
    store = open_store(settings)
    model = Checkpoints(settings, store=store).load("fashion", 1)
    gallery = model.some_gallery()
    queries = list(np.random.default_rng(0).standard_normal((_PIECE, gallery.dimensions)).astype(np.float32))
    posts = [_post({"vector": query_E.tolist(), "top_k": TOP_K}) for query_E in queries]
    port = free_port()
    command = service_command(port, ROOT / "checkpoints")
    with running(Server(command, port, posts[0])):
        seconds = asyncio.run(_turns(port, gallery, queries, posts, num_searches))
    store.close()
    told = {name: _percentiles(taken) for name, taken in seconds.items()}
    return {**told, "http_adds_p50_ms": round(told["http"]["p50_ms"] - told["in_process"]["p50_ms"], 3)}


async def _turns(
    port: int, gallery: Gallery, queries: list[Floats], posts: list[bytes], num_searches: int
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {"in_process": [], "http": []}
    connection = Connection(port)
    await connection.open()
    for _ in range(0, num_searches, _PIECE):
        for query_E in queries:
            start = perf_counter()
            gallery.search(query_E, Query(top_k=TOP_K))
            seconds["in_process"].append(perf_counter() - start)
        for post in posts:
            start = perf_counter()
            reply = await connection.ask(post)
            seconds["http"].append(perf_counter() - start)
            if reply.status != 200 or len(json.loads(reply.body)["matches"]) != TOP_K:
                raise ValueError(f"no right answer: {reply.status}")
    connection.close()
    return seconds


def _percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": round(1000 * cuts[49], 3), "p99_ms": round(1000 * cuts[98], 3)}


def _post(content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    head = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"POST /search HTTP/1.1\r\n" + head.encode() + body
