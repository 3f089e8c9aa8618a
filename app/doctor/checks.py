"""What may be amiss before anything is served: each check finds one thing that a person can mend.

Changes nothing, and knows nothing of speed."""

import importlib.util
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app import fields
from app.doctor.machine import memory_bytes, memory_limit_bytes
from app.listening import bind
from app.settings import Settings
from app.settings_reading import unknown_variables
from app.upload import check_folder
from models.cores import usable_cores
from models.engine import Engine
from models.errors import ConfigError

_FEW_FILES = 100  # libraries, the log, the listener and what else a process has open
_BYTES_PER_PIXEL = 4  # of Pillow's RGB and RGBA


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and what to do; `remedy` is empty where all is well."""

    name: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return not self.remedy


def check_machine(settings: Settings, environment: Mapping[str, str]) -> Iterator[Check]:
    """All that needs no model."""
    yield check_variables(settings, environment)
    yield check_cores(settings)
    yield check_temporary(settings)
    yield check_data(settings.data)
    yield check_open_files(settings)
    yield check_port(settings)
    yield check_compiled()


def check_variables(settings: Settings, environment: Mapping[str, str]) -> Check:
    """Settings are valid, or nobody would come here; a misspelt variable is only passed over."""
    file = settings.settings_file
    found = f"valid, {file} read" if file.is_file() else "valid"
    return Check("settings", found, " ".join(unknown_variables(environment)))


def check_cores(settings: Settings) -> Check:
    """Not more threads than cores. Workers are counted from the settings, which the doctor may better."""
    cores, threads = usable_cores(), settings.workers() * settings.num_threads
    found = f"{cores} of {os.cpu_count()} usable; load {os.getloadavg()[0]:.1f}"
    if settings.num_workers and threads > cores:
        return Check(
            "cores",
            f"{found}; {settings.workers()} workers of {settings.num_threads} threads",
            "More threads than cores make every request slower. Lower INTERMODAL_NUM_WORKERS or "
            "INTERMODAL_NUM_THREADS, or leave both to this command.",
        )
    return Check("cores", found)


def check_temporary(settings: Settings) -> Check:
    """Room for every body that may be held at once: each may be a file."""
    try:
        check_folder()
    except ConfigError as error:
        return Check("temporary", "no folder", str(error))
    folder, needed = tempfile.gettempdir(), settings.max_pending_bytes
    free = shutil.disk_usage(folder).free
    remedy = (
        f"Uploads may need {_mb(needed)}. Make room, name another folder (TMPDIR), or lower "
        "INTERMODAL_MAX_PENDING_BYTES."
    )
    return Check("temporary", f"{folder}, {_mb(free)} free", remedy if free < needed else "")


def check_data(folder: Path) -> Check:
    """The folder, or the nearest above it that is there, may be written to."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    remedy = f"{nearest} may not be written to. Change its owner, or set INTERMODAL_DATA to another folder."
    return Check("data", str(folder), "" if writable else remedy)


def check_open_files(settings: Settings) -> Check:
    """A descriptor for each connection, and one for each upload that is too large for memory."""
    uploads = min(settings.max_connections, settings.max_pending_bytes // max(1, settings.spool_bytes))
    needed = settings.max_connections + uploads + _FEW_FILES
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    few = limit != resource.RLIM_INFINITY and limit < needed
    remedy = (
        f"{settings.max_connections} connections and their uploads may need {needed}. Raise the limit "
        f"(ulimit -n {needed}), or lower INTERMODAL_MAX_CONNECTIONS."
    )
    shown = "no limit" if limit == resource.RLIM_INFINITY else f"up to {limit}"
    return Check("open files", shown, remedy if few else "")


def check_port(settings: Settings) -> Check:
    """The address may be listened on now."""
    found = f"{settings.host}:{settings.port}"
    try:
        with bind(settings):
            return Check("port", found)
    except ConfigError as error:
        return Check("port", found, str(error))


def check_compiled() -> Check:
    """Python's compiled files are there; this process has written them, if it may."""
    source = fields.__file__
    there = Path(importlib.util.cache_from_source(source)).exists()
    remedy = (
        "Each start compiles all modules anew, and takes twice as long. Run python -m compileall -q app models "
        "retrieval as somebody who may write there."
    )
    return Check("compiled", "there" if there else "no .pyc files", "" if there else remedy)


def check_engine(settings: Settings, engine: Engine) -> Check:
    """The engine that was chosen, and why; a GPU that is there is used."""
    found = f"{engine.name} on {engine.device}"
    if settings.engine != "auto":
        found += ", set by INTERMODAL_ENGINE"
    has_driver = shutil.which("nvidia-smi") is not None
    if not has_driver:
        return Check("engine", f"{found}; no nvidia-smi, so no GPU")
    if engine.device != "cpu":
        return Check("engine", found)
    if settings.engine == "onnx":
        return Check("engine", f"{found}; nvidia-smi is there")
    if importlib.util.find_spec("torch") is None:
        remedy = "nvidia-smi is there, and torch is not. Install the extra: pip install -e '.[gpu]'."
    else:
        remedy = "nvidia-smi is there, but torch sees no CUDA device. Mend the driver, or share the device."
    return Check("engine", found, f"{remedy} If the CPU is meant, set INTERMODAL_ENGINE=onnx.")


def check_memory(settings: Settings) -> Check:
    """Now that the models are loaded: what more requests may take. A folder in memory (/tmp) counts as memory."""
    loaded, uploads = memory_bytes(), settings.max_pending_bytes
    pixels = max(1, usable_cores() // 2) * settings.max_image_pixels * _BYTES_PER_PIXEL
    needed, limit = loaded + uploads + pixels, memory_limit_bytes()
    found = f"{_mb(limit)}; needed at most {_mb(needed)}: {_mb(loaded)} now, {_mb(uploads)} of uploads, "
    remedy = (
        "A process beyond its limit is killed. Raise the limit, or lower INTERMODAL_MAX_PENDING_BYTES or "
        "INTERMODAL_MAX_IMAGE_PIXELS."
    )
    return Check("memory", f"{found}{_mb(pixels)} to decode", remedy if needed > limit else "")


def lines_of(checks: Sequence[Check]) -> list[str]:
    """One line each, aligned, with the remedy where there is one."""
    width = max(len(check.name) for check in checks)
    return [
        f"{check.name:<{width}}  {'OK     ' if check.ok else 'problem'}  {check.found}"
        + (f". {check.remedy}" if check.remedy else "")
        for check in checks
    ]


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"
