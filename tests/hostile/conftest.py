"""A whole process to attack: `app.server.serve` with the fake engine, so that its memory is its own."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from app.listening import bind
from app.server import serve
from app.settings import Settings
from tests.fakes import make_service

settings = Settings(port=0, num_workers=2)
with bind(settings) as listener:
    serve(make_service(Path(sys.argv[1]), settings), listener, lambda line: print(line, flush=True))
"""


@dataclass(frozen=True)
class Target:
    """A running server. Its log is read when it has ended."""

    client: httpx.Client
    pid: int

    @property
    def address(self) -> tuple[str, int]:
        return self.client.base_url.host, self.client.base_url.port or 80

    def memory_mb(self) -> float:
        """Its proportional share of memory (PSS)."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) / 1000


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    log = tmp_path_factory.mktemp("log") / "stderr"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path_factory.mktemp("gallery"))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("Ready"))
        try:
            with httpx.Client(base_url=line.split()[2], timeout=30) as client:
                yield Target(client, process.pid)
            assert process.poll() is None, "the server died"
        finally:
            process.terminate()
            process.wait(30)
    assert "Traceback" not in log.read_text()
