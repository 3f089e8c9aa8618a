"""Streams of text over HTTP: time to the first piece, pieces a second of one stream, tokens a second of many.

A round is one stream after another for some seconds, then many at once for as long: a busy neighbour slows both
alike. `cpu_ms_per_token` is the server's, which a neighbour hardly moves."""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.captions.results import checkpoint_of, keep, trained_of
from benchmarks.serving.processes import cpu_seconds
from benchmarks.serving.requests import load_pairs
from benchmarks.serving.servers import Server, free_port, running


def request(image: bytes, max_tokens: int) -> bytes:
    """A bare image, to be answered by a stream."""
    head = (
        f"POST /generate?stream=true&max_tokens={max_tokens} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
    )
    return head.encode() + image


async def ask(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes
) -> tuple[float, float, int]:
    """Seconds to the first piece, seconds from it to the end, and tokens."""
    reader, writer = connection
    began, first = perf_counter(), 0.0
    writer.write(data)
    if b" 200 " not in await reader.readline():
        raise RuntimeError((await reader.read(2000)).decode())
    while (line := await reader.readline()) != b"\r\n":
        if not line:
            raise RuntimeError("the server hung up")
    body = b""
    while (size := int(await reader.readline(), 16)) or await reader.readexactly(2) != b"\r\n":
        body += (await reader.readexactly(size + 2))[:-2]
        first = first or perf_counter()
    *_, last = body.decode().strip().split("\n\n")
    if not last.startswith("event: done"):
        raise RuntimeError(last)
    whole = json.loads(last.partition("data: ")[2])
    return first - began, perf_counter() - first, whole["num_tokens"]


async def load(
    port: int, requests: Sequence[bytes], streams: int, seconds: float
) -> tuple[list[tuple[float, float, int]], float]:
    """What each of so many clients saw, one request after another; and the seconds until all had ended."""
    seen: list[tuple[float, float, int]] = []
    began = perf_counter()

    async def client(number: int) -> None:
        connection = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while perf_counter() - began < seconds:
            seen.append(await ask(connection, requests[turn % len(requests)]))
            turn += streams
        connection[1].close()

    await asyncio.gather(*map(client, range(streams)))
    return seen, perf_counter() - began


def measure(server: Server, requests: Sequence[bytes], streams: int, seconds: float) -> dict[str, float]:
    """Figures of one half of a round."""
    before = cpu_seconds(server.pid)
    seen, took = asyncio.run(load(server.port, requests, streams, seconds))
    tokens = sum(one[2] for one in seen)
    return {
        "first_ms": 1000 * statistics.median(one[0] for one in seen),
        "tokens_per_second_after_the_first": statistics.median((one[2] - 1) / one[1] for one in seen),
        "tokens_per_second": tokens / took,
        "cpu_ms_per_token": 1000 * (cpu_seconds(server.pid) - before) / tokens,
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.captions stream", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="a version's folder; random weights where it is left out")
    parser.add_argument("--images", type=Path, help="folder of JPEG files; product photos where it is left out")
    parser.add_argument("--max-tokens", type=int, default=20)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    version, model = checkpoint_of(options.checkpoint)
    requests = [request(pair.image, options.max_tokens) for pair in load_pairs(options.images, 64)]
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "app", "serve", "--log-level", "warning", "--port", str(port)]
        command += ["--checkpoints", str(version.parent.parent), "--models", version.parent.name, "--data", data]
        with running(Server(command, port, requests[0].replace(b"stream=true", b"stream=false"))) as server:
            measure(server, requests, options.streams, 1.0)  # warms up
            rounds: list[dict[str, Any]] = []
            for _ in range(options.rounds):
                one = measure(server, requests, 1, options.seconds)
                many = measure(server, requests, options.streams, options.seconds)
                rounds.append({"one": one, "many": many})
    ratios = sorted(each["many"]["tokens_per_second"] / each["one"]["tokens_per_second"] for each in rounds)
    found = {
        "model": model,
        "max_tokens": options.max_tokens,
        "streams": options.streams,
        "rounds": options.rounds,
        "one": median_of([each["one"] for each in rounds]),
        "many": median_of([each["many"] for each in rounds]),
        "many_to_one": {
            "median": round(statistics.median(ratios), 2),
            "from": round(ratios[0], 2),
            "to": round(ratios[-1], 2),
        },
    }
    shown = f"--max-tokens {options.max_tokens} --streams {options.streams} --seconds {options.seconds:g}"
    keep(
        "stream_trained" if options.checkpoint else f"stream_{options.max_tokens}_tokens",
        f"stream {trained_of(options)}{shown} --rounds {options.rounds}",
        found,
        libraries=("numpy", "onnxruntime", "uvicorn", "starlette"),
    )


def median_of(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each figure, to four digits."""
    return {name: float(f"{statistics.median(one[name] for one in rounds):.4g}") for name in rounds[0]}
