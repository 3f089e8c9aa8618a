"""What a process and its children take, from Linux' /proc: CPU, memory, descriptors, threads."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has just ended
        return [pid]
    return [pid, *(below for child in children for below in tree(child))]


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree so far. A child that has ended counts where it was waited for."""
    total = 0
    for one in tree(pid):
        if stat := _read(one, "stat"):
            fields = stat.rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15] if one == pid else fields[11:13]))
    return total / _TICKS


def pss_mb(pid: int) -> float:
    """Proportional set size of the tree: what several processes share counts once."""
    return _sum_kb(pid, "smaps_rollup", "Pss:") / 1024


def rss_mb(pid: int) -> float:
    """Resident set size of the tree."""
    return _sum_kb(pid, "status", "VmRSS:") / 1024


def private_mb(pid: int) -> float:
    """Pages of the tree that nobody else has: unlike PSS, it does not move when other programs come and go."""
    return (_sum_kb(pid, "smaps_rollup", "Private_Clean:") + _sum_kb(pid, "smaps_rollup", "Private_Dirty:")) / 1024


def num_descriptors(pid: int) -> int:
    """Open descriptors of the process itself."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def num_threads(pid: int) -> int:
    """Threads of the process itself."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def _sum_kb(pid: int, file: str, key: str) -> int:
    lines = [line for one in tree(pid) for line in _read(one, file).splitlines() if line.startswith(key)]
    return sum(int(line.split()[1]) for line in lines)


def _read(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return ""
