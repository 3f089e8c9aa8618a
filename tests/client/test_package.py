"""The client stands alone: it imports nothing of the service, and without the extra `live` no websockets."""

import subprocess
import sys
import tomllib
from pathlib import Path

import app

FOLDER = Path(__file__).resolve().parents[2] / "client"

ALONE = """
import sys
sys.path[:] = [p for p in sys.path if p] + [sys.argv[1]]
import intermodal_client
theirs = {"app", "models", "retrieval", "training", "numpy", "pydantic", "fastapi", "websockets", "torch"}
print(sorted(theirs & {name.partition(".")[0] for name in sys.modules}))
"""


def test_it_imports_nothing_of_the_service(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, str(FOLDER)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_its_version_is_the_services() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == app.__version__
    assert project["dependencies"] == ["httpx>=0.27"]
