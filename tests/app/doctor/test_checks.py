"""What the doctor finds amiss."""

import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.doctor import checks, machine
from app.listening import bind
from app.settings import Settings
from models.engine import Engine


def engine(name: str, device: str) -> Engine:
    return cast(Engine, SimpleNamespace(name=name, device=device))


@pytest.mark.parametrize(
    ("asked", "chosen", "driver", "torch", "remedy"),
    [
        ("auto", ("onnx", "cpu"), False, False, ""),
        ("auto", ("onnx", "cpu"), True, False, "pip install"),
        ("auto", ("onnx", "cpu"), True, True, "no CUDA device"),
        ("auto", ("torch", "NVIDIA H100"), True, True, ""),
        ("onnx", ("onnx", "cpu"), True, True, ""),
        ("torch", ("torch", "cpu"), True, True, "no CUDA device"),
        ("torch", ("torch", "cpu"), False, True, ""),
    ],
)
def test_a_gpu_that_is_there_and_not_used_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, asked: Any, chosen: tuple[str, str], driver: bool, torch: bool, remedy: str
) -> None:
    monkeypatch.setattr(checks.shutil, "which", lambda _: "/bin/nvidia-smi" if driver else None)
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda _: object() if torch else None)
    check = checks.check_engine(Settings(engine=asked), engine(*chosen))
    assert check.found.startswith(f"{chosen[0]} on {chosen[1]}")
    assert remedy in check.remedy
    assert check.ok == (not remedy)


def test_a_busy_port_few_files_and_a_full_folder_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    with bind(Settings(port=0)) as listener:
        listener.listen()
        assert "INTERMODAL_PORT" in checks.check_port(Settings(port=listener.getsockname()[1])).remedy
    assert checks.check_port(Settings(port=0)).ok
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    # 1000 connections, 256 files of uploads (256 MB by 1 MB), 100 others
    assert "ulimit -n 1356" in checks.check_open_files(Settings()).remedy
    assert checks.check_open_files(Settings(max_connections=400)).ok
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=255_999_999))
    assert "256 MB" in checks.check_temporary(Settings()).remedy
    assert checks.check_temporary(Settings(max_pending_bytes=255_999_999)).ok


def test_more_threads_than_cores_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "usable_cores", lambda: 2)
    assert checks.check_cores(Settings(num_workers=2)).ok
    assert "INTERMODAL_NUM_WORKERS" in checks.check_cores(Settings(num_workers=2, num_threads=2)).remedy


def test_too_little_memory_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "usable_cores", lambda: 2)
    monkeypatch.setattr(checks, "memory_bytes", lambda: 150_000_000)
    # 150 MB now, 256 MB of uploads, 50 megapixels of 4 bytes
    monkeypatch.setattr(checks, "memory_limit_bytes", lambda: 605_999_999)
    assert "INTERMODAL_MAX_PENDING_BYTES" in checks.check_memory(Settings()).remedy
    monkeypatch.setattr(checks, "memory_limit_bytes", lambda: 606_000_000)
    assert checks.check_memory(Settings()).ok


def test_a_containers_limit_on_memory_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without = machine.memory_limit_bytes()
    file = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_MEMORY_LIMITS", (file,))
    for content, expected in (("max\n", without), ("1000000\n", 1_000_000)):
        file.write_text(content)
        assert machine.memory_limit_bytes() <= max(expected, without)
        assert (machine.memory_limit_bytes() == 1_000_000) == (expected == 1_000_000)


def test_a_data_folder_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    assert checks.check_data(tmp_path / "not" / "yet").ok
    file = tmp_path / "file"
    file.touch()
    assert "INTERMODAL_DATA" in checks.check_data(file).remedy
    assert not (tmp_path / "not").exists()


def test_missing_compiled_modules_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = tmp_path / "server.pyc"
    monkeypatch.setattr(checks.importlib.util, "cache_from_source", lambda _: str(compiled))
    assert "compileall" in checks.check_compiled().remedy
    compiled.touch()
    assert checks.check_compiled().ok


def test_a_misspelt_variable_is_a_problem() -> None:
    assert "INTERMODAL_PORT?" in checks.check_variables(Settings(), {"INTERMODAL_PROT": "1"}).remedy
