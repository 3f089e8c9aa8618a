"""How many cores this process may use, which in a container is seldom what the machine has."""

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "<microseconds or max> <period>"


def usable_cores() -> int:
    """Cores that this process may run on: its affinity, or a container's quota where that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores
