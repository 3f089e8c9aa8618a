"""Served items a second beside the in-process ceiling, in one run: `python -m benchmarks.serving`.

The ceiling is the same files through the same decode, prepare, graphs, calibration and search, in as many threads
as the service has workers, with no HTTP. Rounds alternate, so that a drift of the machine's speed hits both.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy comes in, as app.__main__ does

from app.loading import load_service
from app.payload import Inputs
from app.service import Service
from app.settings import Settings
from app.upload import Upload
from models.image_guards import ImageLimits

ROOT = Path(__file__).parent.parent
BOUNDARY = b"intermodal-benchmark"


@dataclass(frozen=True, slots=True)
class Pair:
    image: bytes
    text: str


def load_pairs(folder: Path | None, count: int) -> list[Pair]:
    """JPEG files of `folder`, or else the thumbnails of the shipped gallery, with a title each."""
    if folder is not None:
        files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:count]]
    else:
        with zipfile.ZipFile(ROOT / "checkpoints/fashion/1/gallery/thumbnails.zip") as archive:
            files = [archive.read(name) for name in archive.namelist()[:count]]
    return [Pair(data, f"Puma Men Black Sports Shoes {number}") for number, data in enumerate(files)]


def answer(service: Service, pair: Pair) -> None:
    """What the service does for one item, without HTTP."""
    model = service.models[0]
    inputs = Inputs(image=Upload.of(pair.image), text=pair.text)
    example = model.predictor.prepare(model.decode(inputs, ImageLimits()))
    [prediction] = model.predictor.predict([example])
    model.some_gallery().search(prediction.embedding_E, target="fused", top_k=5)


def ceiling(service: Service, pairs: list[Pair], seconds: float, workers: int) -> float:
    """Items a second in process."""
    counts = [0] * workers
    stop = time.perf_counter() + seconds

    def work(worker: int) -> None:
        index = worker
        while time.perf_counter() < stop:
            answer(service, pairs[index % len(pairs)])
            counts[worker] += 1
            index += workers

    start = time.perf_counter()
    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def alone(
    service: Service, pairs: list[Pair], port: int, requests: list[bytes], seconds: float
) -> dict[str, float]:
    """Median milliseconds of one item at a time, in process in one thread, and over HTTP by one connection."""
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while (start := time.perf_counter()) < stop:
        answer(service, pairs[len(times) % len(pairs)])
        times.append(time.perf_counter() - start)
    _, latencies = asyncio.run(load(port, requests, 1, seconds))
    in_process, http = (1000 * statistics.median(part) for part in (times, latencies))
    return {
        "alone_in_process_p50_ms": round(in_process, 2),
        "alone_http_p50_ms": round(http, 2),
        "alone_above_ms": round(http - in_process, 2),
    }


def request_bytes(pair: Pair) -> bytes:
    body = (
        b"--"
        + BOUNDARY
        + b'\r\nContent-Disposition: form-data; name="text"\r\n\r\n'
        + pair.text.encode()
        + b"\r\n--"
        + BOUNDARY
        + b'\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        + b"Content-Type: image/jpeg\r\n\r\n"
        + pair.image
        + b"\r\n--"
        + BOUNDARY
        + b"--\r\n"
    )
    head = (
        "POST /predict HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, requests: list[bytes], connections: int, seconds: float) -> tuple[float, list[float]]:
    """Closed loop: items a second, and latencies in seconds. Bare sockets: a client library would eat a core."""
    latencies: list[float] = []
    stop = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        index = number
        while time.perf_counter() < stop:
            began = time.perf_counter()
            writer.write(requests[index % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - began)
            index += connections
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(connections)))
    return len(latencies) / (time.perf_counter() - start), latencies


def start_server(extra: list[str]) -> tuple[subprocess.Popen[str], int, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", str(port), *extra],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in server.stdout or ():
        if line.startswith("Ready"):
            return server, port, time.perf_counter() - began
    raise RuntimeError("the server did not start")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--images", type=Path, help="a folder of JPEG files; default: the shipped gallery's thumbnails"
    )
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/serving.json")
    options, extra = parser.parse_known_args()
    pairs = load_pairs(options.images, 256)
    requests = [request_bytes(pair) for pair in pairs]
    service = load_service(Settings(checkpoints=ROOT / "checkpoints", models="fashion"))
    workers = service.settings.workers
    server, port, ready_seconds = start_server(["--models", "fashion", *extra])
    rounds = []
    try:
        asyncio.run(load(port, requests, options.connections, 3))
        ceiling(service, pairs, 2, workers)
        for number in range(options.rounds):
            top = ceiling(service, pairs, options.seconds, workers)
            before = cpu_seconds(server.pid)
            rate, latencies = asyncio.run(load(port, requests, options.connections, options.seconds))
            latencies.sort()
            rounds.append(
                {
                    "ceiling_per_s": round(top, 2),
                    "http_per_s": round(rate, 2),
                    "ratio": round(rate / top, 3),
                    "p50_ms": round(1000 * latencies[len(latencies) // 2], 1),
                    "p99_ms": round(1000 * latencies[int(len(latencies) * 0.99)], 1),
                    "server_cpu_ms_per_item": round(1000 * (cpu_seconds(server.pid) - before) / len(latencies), 2),
                    **alone(service, pairs, port, requests, options.seconds / 2),
                }
            )
            print(number, rounds[-1], flush=True)
        memory = memory_mb(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    result = {
        "command": "python -m benchmarks.serving "
        + " ".join(sys.argv[1:]).replace(str(options.images), "<images>"),
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        "connections": options.connections,
        "workers": workers,
        "ready_seconds": round(ready_seconds, 2),
        "memory_pss_mb": round(memory, 1),
        "median": {name: statistics.median(r[name] for r in rounds) for name in rounds[0]},
        "rounds": rounds,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["median"]))


if __name__ == "__main__":
    main()
