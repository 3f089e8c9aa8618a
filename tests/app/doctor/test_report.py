"""The file of settings that the doctor writes."""

import errno
import os
from pathlib import Path

import pytest

from app.__main__ import main
from app.doctor import command, report
from app.doctor.choice import Pair
from app.settings import PREFIX, Settings
from app.settings_reading import load_settings
from models.errors import ConfigError
from tests.app.doctor.fake_bench import ONE_BY_TWO, TWO_BY_ONE, FakeBench, tuned

FLAT = FakeBench({Pair(1, 1): 55, ONE_BY_TWO: 100, TWO_BY_ONE: 90}, {1: 0.02, 2: 0.012})


def test_where_the_defaults_are_best_no_setting_is_written() -> None:
    assert tuned(FLAT).settings == {}
    text = report.settings_file(tuned(FLAT), {"hardware": "a machine"}, ["--models", "fashion"])
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
    assert "# INTERMODAL_NUM_WORKERS=0  (the default)" in text


def test_every_limit_of_a_batch_is_among_what_the_file_has() -> None:
    limits = {name for name in Settings.model_fields if name.startswith("max_batch_")}
    assert limits <= set(report.TUNED)


def test_the_file_says_where_it_is_from_and_the_service_reads_it(tmp_path: Path) -> None:
    bench = FakeBench({Pair(1, 1): 55, ONE_BY_TWO: 100, TWO_BY_ONE: 150}, {1: 0.02, 2: 0.012})
    about = {"hardware": "a machine, 2 usable cores", "model": "fashion@1 on onnx (cpu)"}
    text = report.settings_file(tuned(bench), about, ["--models", "fashion, emoji"])
    for line in (
        "# hardware: a machine, 2 usable cores",
        "# model: fashion@1 on onnx (cpu)",
        "# command: python -m app doctor --models 'fashion, emoji'",
        "#       2        1    150.0             0%             12.0  chosen",
    ):
        assert line in text.splitlines()
    file = tmp_path / "intermodal.env"
    report.write(file, text)
    settings = load_settings(["--settings-file", str(file)])
    assert (settings.num_threads, settings.num_workers, settings.max_batch_items) == (2, 1, 32)
    report.check_target(file, force=False)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "content", ["INTERMODAL_PORT=9000\n", f"{report.MARK}\nINTERMODAL_NUM_THREADS=1\nINTERMODAL_PORT=9000\n"]
)
def test_settings_of_somebody_else_are_not_lost_without_force(tmp_path: Path, content: str) -> None:
    file = tmp_path / "intermodal.env"
    file.write_text(content)
    assert main(["doctor", "--out", str(file)]) == 2
    with pytest.raises(ConfigError, match="--force"):
        report.check_target(file, force=False)
    report.check_target(file, force=True)
    assert file.read_text() == content


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    for out in (Path(os.devnull), tmp_path):
        with pytest.raises(ConfigError, match="no file"):
            report.check_target(out, force=True)
    with pytest.raises(ConfigError, match="no folder"):
        report.check_target(tmp_path / "absent" / "intermodal.env", force=True)


def test_a_variable_that_wins_over_the_file_is_told() -> None:
    bench = FakeBench({Pair(1, 1): 55, ONE_BY_TWO: 100, TWO_BY_ONE: 150}, {1: 0.02, 2: 0.012})
    [line] = command.overridden(tuned(bench), {f"{PREFIX}NUM_THREADS": "1", f"{PREFIX}PORT": "9"})
    assert "INTERMODAL_NUM_THREADS" in line


def test_a_file_that_cannot_be_written_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match="No space left"):
        report.write(tmp_path / "a.env", "text")
    assert list(tmp_path.iterdir()) == []
