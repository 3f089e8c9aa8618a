"""What the service costs: seconds and CPU to ready, memory, what HTTP adds to an item, how quickly it refuses.

CPU seconds are what to trust on a machine with other work: a start waits for its turn, and so does a refusal."""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence

from benchmarks.serving import report
from benchmarks.serving.bench import Bench, add_options, make_bench
from benchmarks.serving.ceiling import check
from benchmarks.serving.exchange import Connection, Reply
from benchmarks.serving.processes import cpu_seconds, pss_mb
from benchmarks.serving.requests import Pair, multipart, post
from benchmarks.serving.servers import Server, free_port, running, service_command
from tests.hostile import corpus

CONNECTIONS = 16
_JSON = "application/json"


def starts(bench: Bench, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of first starts, which merge the gallery's seed, and of later ones with the same data folder."""
    found: dict[str, list[dict[str, float]]] = {"first": [], "later": []}
    for _ in range(rounds):
        data = tempfile.mkdtemp(prefix="intermodal-bench-")
        try:
            for measured in found.values():
                measured.append(_start(bench, data))
        finally:
            shutil.rmtree(data, ignore_errors=True)
        print({name: measured[-1] for name, measured in found.items()}, flush=True)
    return {
        name: {**report.medians(measured), "least_wall_seconds": min(one["wall_seconds"] for one in measured)}
        for name, measured in found.items()
    }


def _start(bench: Bench, data: str) -> dict[str, float]:
    port = free_port()
    command = service_command(port, bench.checkpoints, bench.flags)
    command[command.index("--data") + 1] = data
    with running(Server(command, port, bench.probe)) as server:
        # To the first right answer, which itself takes some 0.03 s of both.
        return {"wall_seconds": round(server.ready_seconds, 3), "cpu_seconds": round(cpu_seconds(server.pid), 3)}


def beyond(bench: Bench, server: Server, times: int) -> dict[str, float]:
    """What one item costs over HTTP and in process: asked in turn, so that a neighbour slows both."""
    return asyncio.run(_in_turn(bench, server, times))


async def _in_turn(bench: Bench, server: Server, times: int) -> dict[str, float]:
    requests, predictor, connection = bench.good(), bench.model.predictor(), Connection(server.port)
    inside: list[float] = []
    over: list[float] = []
    inside_cpu, server_cpu = 0.0, cpu_seconds(server.pid)
    for number in range(times):
        start, cpu = time.perf_counter(), time.process_time()
        bench.model.answer(predictor, [bench.pairs[number % len(bench.pairs)]])
        inside.append(1000 * (time.perf_counter() - start))
        inside_cpu += time.process_time() - cpu
        await connection.open()
        start = time.perf_counter()
        reply = await connection.ask(requests[number % len(requests)].data)
        over.append(1000 * (time.perf_counter() - start))
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.body[:300]!r}")
    connection.close()
    server_cpu = cpu_seconds(server.pid) - server_cpu
    pairs = zip(inside, over, strict=True)
    return {
        "in_process_p50_ms": round(statistics.median(inside), 2),
        "http_p50_ms": round(statistics.median(over), 2),
        "above_ms": round(statistics.median(over) - statistics.median(inside), 2),
        "above_in_pairs_p50_ms": round(statistics.median(one - other for other, one in pairs), 2),
        "in_process_cpu_ms": round(1000 * inside_cpu / times, 2),
        "server_cpu_ms": round(1000 * server_cpu / times, 2),
        "cpu_above_ms": round(1000 * (server_cpu - inside_cpu) / times, 2),
    }


def refused(pair: Pair) -> dict[str, tuple[int, bytes]]:
    """A request over each limit, and the status that it must get."""
    parts = b'--X\r\nContent-Disposition: form-data; name="text"\r\n\r\nred\r\n' * 65 + b"--X--\r\n"
    huge, long = corpus.huge_headers()["PNG"], corpus.png(65_536, 1)
    head = b"GET /models HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 70_000 + b"\r\n\r\n"
    wide = {"or": [{"labels.a": "b"}] * 300}

    def asked(**fields: object) -> bytes:
        return post("/predict", _JSON, json.dumps({"text": "red", **fields}).encode())

    def batch(count: int, **fields: object) -> bytes:
        return post("/predict/batch", _JSON, json.dumps({"items": [{"text": "red", **fields}] * count}).encode())

    return {
        "body of 100 MB, by its length": (413, post("/predict", "image/png", b"").replace(b": 0", b": 100000000")),
        "head of 70 kB": (431, head),
        "65 parts": (400, post("/predict", "multipart/form-data; boundary=X", parts)),
        "300,000 values of JSON": (413, post("/predict", _JSON, b"[" + b"1," * 300_000 + b"1]")),
        "50,000 x 50,000 pixels": (413, multipart(Pair(huge, pair.text))),
        "a side of 65,536 pixels": (413, multipart(Pair(long, pair.text))),
        "text of 20,000 characters": (413, asked(text="a" * 20_000)),
        "5,000 items": (413, batch(5000)),
        "1,000 x 1,000 matches": (413, batch(1000, top_k=1000)),
        "1,001 matches": (422, asked(top_k=1001)),
        "filter of 300 conditions": (422, asked(filter=wide)),
        "unknown media type": (415, post("/predict", "text/xml", b"<x/>")),
    }


def refusals(bench: Bench, server: Server, times: int) -> dict[str, dict[str, float]]:
    """Milliseconds from the first byte sent to the last received, on a connection of its own each, and of CPU."""
    found = {}
    for name, (status, data) in refused(bench.pairs[0]).items():
        before = cpu_seconds(server.pid)
        taken = sorted(asyncio.run(_refusal(server.port, data, status)) for _ in range(times))
        found[name] = {
            "status": status,
            "server_cpu_ms": round(1000 * (cpu_seconds(server.pid) - before) / times, 1),
            "p50_ms": round(statistics.median(taken), 2),
            "most_ms": round(taken[-1], 2),
        }
        print(name, found[name], flush=True)
    return found


async def _refusal(port: int, data: bytes, status: int) -> float:
    connection = Connection(port)
    await connection.open()
    start = time.perf_counter()
    try:
        reply: Reply = await connection.ask(data)
    finally:
        connection.close()
    if reply.status != status:
        raise RuntimeError(f"{reply.status} in place of {status}: {reply.body[:300]!r}")
    return 1000 * (time.perf_counter() - start)


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving costs", description=__doc__)
    add_options(parser)
    parser.add_argument("--rounds", type=int, default=5, help="of starts")
    parser.add_argument("--seconds", type=float, default=8, help="of load")
    parser.add_argument("--items", type=int, default=300, help="asked one at a time, over HTTP and in process")
    parser.add_argument("--times", type=int, default=50, help="that each refusal is asked for")
    options, flags = parser.parse_known_args(arguments)
    bench = make_bench(options, flags)
    ready = starts(bench, options.rounds)
    with running(bench.serve()) as server:
        refusing: Mapping[str, Mapping[str, float]] = refusals(bench, server, options.times)
        check(bench.workload.closed(server.port, CONNECTIONS, options.seconds).wait())
        memory_mb = pss_mb(server.pid)
        beyond(bench, server, 20)  # to warm up
        one_item = beyond(bench, server, options.items)
    found = {
        "ready": ready,
        f"memory_pss_mb_after_{CONNECTIONS}_connections": round(memory_mb, 1),
        "one_item": one_item,
        "refusals": refusing,
        "slowest_refusal_p50_ms": max(one["p50_ms"] for one in refusing.values()),
        "slowest_refusal_ms": max(one["most_ms"] for one in refusing.values()),
    }
    print(json.dumps({name: part for name, part in found.items() if name != "refusals"}, indent=1))
    report.write("serving_costs", options.images, found, options.out)
