"""What a start imports: a module that a first answer does not need is one that whoever waits for it waits for.

A list and no clock: a test of time would fail on a busy machine, and say nothing on an idle one."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from app.checkpoints import Checkpoints
from app.choice import choose_models
from app.loading import load_service
from app.memory import settle
from app.readahead import Readahead, read_version
from app.settings import Settings
from models.errors import CheckpointError, ConfigError

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / "tests" / "data" / "old"
LATER = {
    "certifi", "faiss", "fastapi_swagger", "flashlight", "h11", "h2", "httpcore", "httpx", "matplotlib", "onnx",
    "opentelemetry.sdk", "psycopg", "psycopg_pool", "pyarrow", "ray", "rich", "soundfile", "soxr", "timm", "torch",
    "torchvision", "websockets",
}  # fmt: skip
"""What some requests or settings need, and a first answer to an image and a text does not; or training alone."""

PROGRAM = """
import sys
import app.__main__, app.settings_reading, app.readahead, app.loading, app.server
from app.settings import Settings
app.server.configure(app.main.create_app(Settings()), Settings()).load()
print(*sys.modules)
"""


def test_a_start_imports_nothing_that_a_first_answer_does_not_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    imported = set(done.stdout.split())
    assert "app.routes.predict" in imported
    assert "uvicorn.protocols.http.httptools_impl" in imported
    assert LATER & imported == set()


def test_what_was_read_ahead_is_taken_and_then_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").symlink_to(OLD)
    settings = Settings(checkpoints=tmp_path)
    lines: list[str] = []
    ahead = Readahead(settings, lines.append)
    chosen = choose_models(settings)
    expected = {place: ahead.get(*place) for place in chosen}
    assert sorted(lines) == sorted(
        line
        for name, version in chosen
        for line in (
            f"Reading checkpoint {tmp_path / name / str(version)}",
            f"Starting engine for {name} version {version}",
        )
    )
    monkeypatch.setattr("app.checkpoints.read_version", None)  # nothing is read twice
    service = load_service(settings, lines.append, ahead)
    for model in service.models:
        found = expected[model.name, model.version]
        assert found is not None
        assert model.predictor is found.predictor
    assert ahead.get(*chosen[0]) is None


def test_what_cannot_be_read_ahead_is_told_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    settings = Settings(checkpoints=tmp_path)
    ahead = Readahead(settings, lambda _: None)
    with pytest.raises(CheckpointError, match="not a checkpoint's config"):
        Checkpoints(settings, ahead=ahead).load("shop", 1)
    with pytest.raises(CheckpointError, match="not a checkpoint's config"):
        read_version(settings, "shop", 1, lambda _: None)
    with pytest.raises(ConfigError, match="holds no trained model"):
        Readahead(Settings(checkpoints=tmp_path / "empty"), lambda _: None)


def test_garbage_is_collected_once_the_service_is_ready() -> None:
    gc.disable()
    try:
        settle()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.enable()
