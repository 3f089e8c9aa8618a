"""A run of the load generator, from the side of whoever wants it: start it, wait for it, read what it saw."""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.serving.requests import ROOT, Request

HEADSTART_SECONDS = 0.1  # from when the generator is told its start


class Record(NamedTuple):
    """One request: its number, when it was due, sent and done, its status (0: none), and the verdict."""

    number: int
    due: float
    sent: float
    done: float
    status: int
    verdict: str

    @property
    def seconds(self) -> float:
        """From when it was due: a stall of the server also delays those that could not be sent."""
        return self.done - self.due


@dataclass(frozen=True, slots=True)
class Result:
    """What a run saw. `seconds` is from its start to its last answer."""

    records: list[Record]
    seconds: float
    cpu_seconds: float
    faults: list[str]
    versions: Mapping[str, int]
    most_open: int

    def with_verdict(self, *verdicts: str) -> list[Record]:
        """The records of these verdicts."""
        return [record for record in self.records if record.verdict in verdicts]

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return len(self.with_verdict("right")) / self.seconds

    def count(self) -> dict[str, int]:
        """How many of each verdict, and of each status among the others."""
        found = Counter(r.verdict if r.verdict != "other" else str(r.status) for r in self.records)
        return dict(sorted(found.items()))

    def num_5xx(self) -> int:
        """Answers of 500 to 599."""
        return sum(record.status >= 500 for record in self.records)


class Load:
    """A run under way, in a process of its own."""

    def __init__(
        self, requests: Path, port: int, *, mode: str, seconds: float, start_at: float | None, **more: Any
    ) -> None:
        folder = _scratch(self)
        self._result = folder / "result.json"
        job = folder / "job.json"
        job.write_text(
            json.dumps(
                {
                    "requests": str(requests),
                    "port": port,
                    "mode": mode,
                    "seconds": seconds,
                    "seed": 0,
                    "result": str(self._result),
                    **more,
                }
            )
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.loadgen", str(job)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        weakref.finalize(self, _end, self._process)
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("pipes were asked for")
        self._process.stdout.readline()  # it is up; to import and to read takes it a second where cores are busy
        self.start_at = time.monotonic() + HEADSTART_SECONDS if start_at is None else start_at
        self.end_at = self.start_at + seconds
        self._process.stdin.write(f"{self.start_at}\n")
        self._process.stdin.close()

    def sleep_until(self, seconds: float) -> float:
        """Wait until so long after the run's start, and return the time, by the clock of the records."""
        time.sleep(max(0.0, self.start_at + seconds - time.monotonic()))
        return time.monotonic()

    def wait(self) -> Result:
        """Wait for the end.

        Raises:
            RuntimeError: the generator failed.
        """
        try:
            status = self._process.wait()
        finally:
            _end(self._process)
        if status != 0:
            raise RuntimeError("the load generator failed")
        found = json.loads(self._result.read_text())
        records = [Record(*row) for row in found.pop("records")]
        return Result(records=records, **found)


class Workload:
    """Requests in a file that any number of runs read."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.path = _scratch(self) / "requests.json"
        self.path.write_text(
            json.dumps(
                [
                    {
                        "data": base64.b64encode(request.data).decode(),
                        "statuses": request.statuses,
                        "expected": request.expected,
                        "cancel": request.cancel,
                    }
                    for request in requests
                ]
            )
        )

    def closed(self, port: int, connections: int, seconds: float, *, start_at: float | None = None) -> Load:
        """Start a closed loop."""
        return self._start("closed", port, seconds, start_at, connections=connections)

    def open(self, port: int, rate: float, seconds: float, *, start_at: float | None = None) -> Load:
        """Start an open loop of `rate` requests a second."""
        return self._start("open", port, seconds, start_at, rate=rate)

    def slow(self, port: int, connections: int, seconds: float, *, start_at: float | None = None) -> Load:
        """Start clients that send a byte a second."""
        return self._start("slow", port, seconds, start_at, connections=connections)

    def _start(
        self,
        mode: Literal["closed", "open", "slow"],
        port: int,
        seconds: float,
        start_at: float | None,
        **more: float,
    ) -> Load:
        return Load(self.path, port, mode=mode, seconds=seconds, start_at=start_at, **more)


def _end(process: "subprocess.Popen[str]") -> None:
    """No generator outlives whoever started it."""
    if process.poll() is None:
        process.kill()
    with process:  # which closes its pipes
        pass


def _scratch(owner: object) -> Path:
    """A folder that is gone with its owner."""
    folder = tempfile.mkdtemp(prefix="benchmark-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def select(records: Sequence[Record], keep: Callable[[Record], bool]) -> list[Record]:
    """Those that `keep` keeps."""
    return [record for record in records if keep(record)]
