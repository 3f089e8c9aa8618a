"""The load generator, a process of its own: `python -m benchmarks.serving.loadgen JOB`, which says "up" and waits.

The time to start at comes on stdin, and the result is written where the job says. It imports nothing of the
service, and uses uvloop where it is installed, to take little of the cores that it
measures. Clocks are `time.monotonic`, which on one machine all processes share."""

import asyncio
import base64
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.serving.answers import fault, version
from benchmarks.serving.exchange import Connection, LostError, RefusedError
from benchmarks.serving.requests import Request

MOST_FAULTS_KEPT = 20
RETRY_SECONDS = 0.05  # after a refused connection: a client that tries again at once would eat a core


class Generator:
    """Sends the requests of one job, and notes of each [number, due, sent, done, status, verdict].

    Verdicts: right; other (an answer whose status is not among the request's); wrong (a 200 that says something
    else than expected); refused (nothing was sent); lost (sent, and not answered in full); cancelled.
    """

    def __init__(self, job: dict[str, Any], requests: list[Request]) -> None:
        self._job = job
        self._requests = requests
        self._rng = random.Random(job["seed"])
        self.records: list[tuple[int, float, float, float, int, str]] = []
        self.faults: list[str] = []
        self.versions: Counter[str] = Counter()
        self.most_open = 0

    async def run(self) -> None:
        """Run the job from its start to its end."""
        modes: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "closed": self._closed,
            "open": self._open,
            "slow": self._slow,
        }
        self._stop = self._job["start_at"] + self._job["seconds"]
        await asyncio.sleep(max(0.0, self._job["start_at"] - time.monotonic()))
        await modes[self._job["mode"]]()

    async def _closed(self) -> None:
        """Each connection sends its next request when it has the answer to the last."""
        step = self.most_open = self._job["connections"]

        async def client(number: int) -> None:
            connection = Connection(self._job["port"])
            while (due := time.monotonic()) < self._stop:
                if await self._one(connection, number, due) == "refused":
                    await asyncio.sleep(RETRY_SECONDS)
                number += step
            connection.close()

        await asyncio.gather(*(client(number) for number in range(step)))

    async def _open(self) -> None:
        """Requests fall due at random, at a rate, whether or not earlier ones are answered."""
        idle: list[Connection] = []
        running: set[asyncio.Task[None]] = set()

        async def client(number: int, due: float) -> None:
            connection = idle.pop() if idle else Connection(self._job["port"])
            await self._one(connection, number, due)
            idle.append(connection)

        due, number = time.monotonic(), 0
        while due < self._stop:
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(client(number, due))
            running.add(task)
            task.add_done_callback(running.discard)
            self.most_open = max(self.most_open, len(running))
            number += 1
            due += self._rng.expovariate(self._job["rate"])
        await asyncio.gather(*running)
        for connection in idle:
            connection.close()

    async def _slow(self) -> None:
        """Every connection sends a byte a second; every second one is quick until the body begins."""

        async def client(number: int) -> None:
            data = self._requests[number % len(self._requests)].data
            begun = data.index(b"\r\n\r\n") + 4 if number % 2 else 0
            while time.monotonic() < self._stop:
                connection = Connection(self._job["port"])
                try:
                    writer = await connection.open()
                    writer.write(data[:begun])
                    for place in range(begun, len(data)):
                        writer.write(data[place : place + 1])
                        await asyncio.sleep(1)
                        if writer.is_closing() or time.monotonic() > self._stop:
                            break
                except (RefusedError, OSError):
                    await asyncio.sleep(RETRY_SECONDS)
                finally:
                    self.most_open += 1
                    connection.close()

        await asyncio.gather(*(client(number) for number in range(self._job["connections"])))

    async def _one(self, connection: Connection, number: int, due: float) -> str:
        number %= len(self._requests)
        request = self._requests[number]
        sent, status = time.monotonic(), 0
        try:
            await connection.open()
            sent = time.monotonic()
            if request.cancel:
                await connection.leave(request.data, self._rng.uniform(0.0, 0.1))
                verdict, done = "cancelled", time.monotonic()
            else:
                reply = await connection.ask(request.data)
                status, done = reply.status, time.monotonic()
                verdict = self._judge(request, status, reply.body)
        except RefusedError:
            verdict, done = "refused", time.monotonic()
        except LostError as error:
            verdict, done = "lost", time.monotonic()
            self._keep(f"lost: {error}")
        self.records.append((number, due, sent, done, status, verdict))
        return verdict

    def _judge(self, request: Request, status: int, body: bytes) -> str:
        if status not in request.statuses:
            if status not in (429, 503, 504):
                self._keep(f"{status}: {body[:200].decode(errors='replace')}")
            return "other"
        if request.expected is None:
            return "right"
        if wrong := fault(body, request.expected):
            self._keep(f"wrong: {wrong}")
            return "wrong"
        if served := version(body):
            self.versions[served] += 1
        return "right"

    def _keep(self, what: str) -> None:
        if len(self.faults) < MOST_FAULTS_KEPT:
            self.faults.append(what)


def read_requests(path: Path) -> list[Request]:
    """What `load.write_requests` wrote."""
    return [
        Request(
            data=base64.b64decode(row["data"]),
            statuses=tuple(row["statuses"]),
            expected=row["expected"],
            cancel=row["cancel"],
        )
        for row in json.loads(path.read_text())
    ]


def main() -> None:
    """Run the job named on the command line."""
    job = json.loads(Path(sys.argv[1]).read_text())
    generator = Generator(job, read_requests(Path(job["requests"])))
    try:
        import uvloop

        run: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run
    except ImportError:
        run = asyncio.run
    print("up", flush=True)
    job["start_at"] = float(sys.stdin.readline())
    cpu = time.process_time()
    run(generator.run())
    result = {
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.monotonic() - job["start_at"],
        "records": generator.records,
        "faults": generator.faults,
        "versions": generator.versions,
        "most_open": generator.most_open,
    }
    Path(job["result"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
