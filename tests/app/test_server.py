"""The process: its last line is how to use it, and a signal ends it in order."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.server import warn_if_open
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from app.listening import bind
from app.server import serve
from app.settings import Settings
from tests.fakes import make_service

settings = Settings(port=0, num_workers=1)
with bind(settings) as listener:
    serve(make_service(Path(sys.argv[1]), settings), listener, lambda line: print(line, flush=True))
"""


def test_the_last_line_is_a_command_that_works_and_a_signal_ends_the_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Warming up\n"
        line = process.stdout.readline()
        url = line.split()[2]
        assert httpx.get(f"{url}/health/ready").status_code == 200
        command = shlex.split(line.partition("try: ")[2])
        assert command[0] == "curl"
        assert command[-1] == f"{url}/predict"
        assert all(
            (ROOT / part.removeprefix("image=@")).is_file() for part in command if part.startswith("image=@")
        )
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=20)[0]
    assert rest == ""


@pytest.mark.parametrize(
    ("values", "warns"),
    [
        ({"host": "0.0.0.0"}, True),  # noqa: S104
        ({"host": "10.0.0.1", "require_key": "none"}, True),
        ({"host": "0.0.0.0", "api_keys": "ab" * 32}, False),  # noqa: S104
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
    ],
)
def test_an_open_door_is_warned_of(values: dict[str, str], warns: bool, caplog: pytest.LogCaptureFixture) -> None:
    warn_if_open(Settings(**values))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warns
    assert ("INTERMODAL_API_KEYS" in caplog.text) is warns


def test_serving_imports_neither_torch_nor_training() -> None:
    program = "import sys, app.server; assert not {'torch', 'training', 'timm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
