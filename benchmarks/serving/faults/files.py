"""The files under a running service change, or no file can be written any more."""

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.serving.bench import Bench
from benchmarks.serving.faults.verdict import summary, unanswered
from benchmarks.serving.load import Workload, select
from benchmarks.serving.requests import Pair, Request, multipart
from benchmarks.serving.servers import NotReadyError, running

CONNECTIONS = 16
_LARGE_PX = 700  # of noise: more than a megabyte as PNG, so it waits in a temporary file


@contextmanager
def copied(checkpoints: Path) -> Iterator[Path]:
    """A copy that may be spoilt."""
    with tempfile.TemporaryDirectory(prefix="checkpoints-") as folder:
        copy = Path(folder) / "checkpoints"
        shutil.copytree(checkpoints, copy)
        yield copy


def truncated(bench: Bench, seconds: float) -> dict[str, Any]:
    """Every file of the checkpoint is cut to half its length under a running service."""

    def cut(folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                os.truncate(path, path.stat().st_size // 2)

    return _spoilt(bench, seconds, cut)


def deleted(bench: Bench, seconds: float) -> dict[str, Any]:
    """The folder of checkpoints is deleted under a running service."""
    return _spoilt(bench, seconds, shutil.rmtree)


def _spoilt(bench: Bench, seconds: float, spoil: Callable[[Path], object]) -> dict[str, Any]:
    """No request notices. A new process does not start from what is left, rather than answer wrongly."""
    with copied(bench.checkpoints) as checkpoints:
        with running(bench.serve(checkpoints)) as server:
            load = bench.workload.closed(server.port, CONNECTIONS, seconds)
            load.sleep_until(seconds / 2)
            spoil(checkpoints)
            result = load.wait()
        faults = unanswered(result.records)
        try:
            bench.serve(checkpoints).stop()
            faults.append("a new process starts from the spoilt checkpoint")
            refusal = ""
        except NotReadyError as error:
            refusal = str(error).strip().splitlines()[-1].replace(str(checkpoints), "<checkpoints>")
    return summary(result, faults) | {"a_new_process_says": refusal}


def full_disk(bench: Bench, seconds: float) -> dict[str, Any]:
    """For a while no file can be written: large uploads are refused with 503, and nobody else notices.

    RLIMIT_FSIZE on the running process stands in for the disk: a write to a file fails, as on a full one.
    """
    large_pair = _large_pair()
    large = Workload([Request(data=multipart(large_pair), expected=bench.model.expected(large_pair))])
    with running(bench.serve()) as server:
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        load = bench.workload.closed(server.port, CONNECTIONS, seconds)
        uploads = large.closed(server.port, 2, seconds, start_at=load.start_at)
        full = load.sleep_until(seconds / 3)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
        freed = load.sleep_until(seconds * 2 / 3)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        result, uploaded = load.wait(), uploads.wait()
    during = select(uploaded.records, lambda one: one.done > full and one.sent < freed)
    others = select(uploaded.records, lambda one: one.done <= full or one.sent >= freed)
    allowed = select(during, lambda one: one.verdict != "right" and one.status != 503)
    faults = [f"small: {line}" for line in unanswered(result.records)]
    faults += [f"large, while there is room: {line}" for line in unanswered(others)]
    faults += [f"large, while there is none: {line}" for line in unanswered(allowed)]
    refused = sum(one.status == 503 for one in during)
    if not refused:
        faults.append("no large upload was refused: the limit had no effect")
    return summary(result, faults) | {"large": uploaded.count(), "large_refused": refused}


def _large_pair() -> Pair:
    with tempfile.TemporaryFile() as file:
        noise = np.random.default_rng(0).integers(0, 256, (_LARGE_PX, _LARGE_PX, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file, "PNG")
        file.seek(0)
        return Pair(file.read(), "noise")
