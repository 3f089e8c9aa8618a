"""What this process runs on: its cores, its memory, its name for people. Never the host's name."""

import os
import platform
import resource
import sys
from pathlib import Path

from models.cores import usable_cores

_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # cgroup v2: bytes, or "max"
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # v1: bytes, or nearly 2^63
)


def hardware() -> str:
    """The processor and the usable cores."""
    return f"{_processor()} ({platform.machine()}), {usable_cores()} usable cores"


def memory_limit_bytes() -> int:
    """What this process may use: a container's limit, or the machine's memory where that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _MEMORY_LIMITS:
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):
            continue
    return min(limits)


def memory_bytes() -> int:
    """The most that this process has used so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")
