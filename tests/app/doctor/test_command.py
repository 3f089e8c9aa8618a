"""`python -m app doctor`: how it ends, and one real run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.__main__ import main
from app.doctor import command, report
from app.settings import PREFIX
from app.settings_reading import load_settings

ROOT = Path(__file__).resolve().parents[3]


def test_ctrl_c_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "tune", interrupted)
    monkeypatch.chdir(ROOT)
    assert main(["doctor", "--port", "0", "--out", str(tmp_path / "a.env")]) == 130
    assert "Nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_broken_checkpoint_is_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = tmp_path / "checkpoints" / "shop" / "1"
    version.mkdir(parents=True)
    (version / "config.json").write_text("{}")
    out = tmp_path / "a.env"
    assert main(["doctor", "--port", "0", "--checkpoints", str(version.parents[1]), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert any(line.startswith("shop@1") and "problem" in line for line in printed.splitlines())
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [(["--num-threads", "0"], "INTERMODAL_NUM_THREADS"), (["--models", "absent"], "fashion@2")],
)
def test_wrong_settings_end_with_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["doctor", "--out", str(tmp_path / "a.env"), *flags]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "nan", "inf", "soon"])
def test_seconds_are_a_number_above_0(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--seconds", seconds])
    assert ended.value.code == 2
    assert "no number above 0" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_measures_the_shipped_model_and_writes_settings_that_serve_reads(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    program = (
        "import sys\n"
        "from app.__main__ import main\n"
        "status = main(['doctor', '--models', 'fashion', '--port', '0', '--seconds', '0.02'])\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "sys.exit(status)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=environment | {"INTERMODAL_ENGINE": "onnx", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.stderr == ""  # no terminal, no progress
    lines = run.stdout.splitlines()
    verdicts = [line for line in lines[: lines.index("")] if line]
    assert run.returncode == int(any(" problem " in line for line in verdicts)), run.stdout
    assert any(line.startswith("fashion@2") and " OK " in line for line in verdicts)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints", "intermodal.env"}
    text = (tmp_path / "intermodal.env").read_text()
    assert text.startswith(report.MARK)
    assert "fashion@2 on onnx" in text
    settings = load_settings(["--settings-file", str(tmp_path / "intermodal.env")])
    assert settings.num_threads * settings.workers() >= 1
