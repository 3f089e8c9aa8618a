"""The commands as somebody types them, with a service that is none. A drive is of 40 ticks here."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.training.driving.situations import EchoService
from training.__main__ import main
from training.driving import command, simulator
from training.driving.client import NO_ANSWER, Reply

QUESTIONS = 20  # of a track


class Fading(EchoService):
    """Answers the questions of a track and a half; then something happens."""

    def ask(self, fields: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply:
        if len(self.asked) >= 1.5 * QUESTIONS:
            return self.after()
        return super().ask(fields, files)

    def after(self) -> Reply:
        raise KeyboardInterrupt


class Gone(Fading):
    def after(self) -> Reply:
        return Reply(NO_ANSWER, {"detail": "refused"}, 0.01)


def drive(monkeypatch: pytest.MonkeyPatch, service: EchoService, out: Path) -> int:
    monkeypatch.setattr(simulator, "MAX_TICKS", 2 * QUESTIONS)
    monkeypatch.setattr(command, "reach", lambda *_, **__: service)
    return main(["drive", "--tracks", "4", "--films", "3", "--out", str(out)])


def test_who_interrupts_a_drive_has_the_tracks_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drive.json").write_text("of an earlier drive")
    assert drive(monkeypatch, Fading(), tmp_path) == 130
    assert "drive.json has the tracks that were driven to their end" in capsys.readouterr().err
    found = json.loads((tmp_path / "drive.json").read_text())
    assert (found["tracks"], found["setting"]["seeds"]) == (1, [100_000, 100_003])
    assert {path.name for path in tmp_path.iterdir()} == {"drive.json", "track-100000.gif", "track-100000.png"}
    with Image.open(tmp_path / "track-100000.gif") as film:
        assert film.n_frames == QUESTIONS / 2  # type: ignore[attr-defined]


def test_where_the_service_goes_away_it_is_said_and_what_was_driven_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drive(monkeypatch, Gone(), tmp_path) == 1
    words = capsys.readouterr().err
    assert "has not answered 25 times in a row (refused)" in words
    assert f"2 track(s) are in {tmp_path / 'drive.json'}" in words
    answers = json.loads((tmp_path / "drive.json").read_text())["answers"]
    assert answers["failed"] == answers["braked"] == QUESTIONS / 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--films", "-1"], "--films: must be at least 0"),
        (["--from-tick", "-1"], "--from-tick: must be at least 0"),
        (["--tracks", "0"], "--tracks: must be at least 1"),
        (["--seed", "-1"], "--seed: must be at least 0"),
        (["--without", "image,text"], "--without text: not one of"),
        (["--voices", ".", "--fold", "5"], "--fold: must be from 0 to 4"),
        (["--out", "file"], "--out file: cannot be a folder"),
        (["--key-file", "none"], "--key-file none: cannot be read"),
        (["--key-file", "file"], "--key-file file: must have one key"),
    ],
)
def test_what_cannot_be_driven_is_said_before(
    flags: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("two words")
    assert main(["drive", "--url", "http://127.0.0.1:9", *flags]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--name", "../../elsewhere"], "--name '../../elsewhere': must be letters"),
        (["--name", ""], "--name '': must be letters"),
        (["--go-share", "7"], "--go-share: must be from 0 to 1"),
        (["--policy", "127.0.0.1:9"], "--policy 127.0.0.1:9: is no address"),
        (["--policy", "http://127.0.0.1:9"], "--policy http://127.0.0.1:9: no service answers there"),
    ],
)
def test_what_cannot_be_recorded_is_said_before(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "--out", str(tmp_path / "in" / "out"), "--tracks", "1", *flags]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "elsewhere-00000").exists()


def test_a_folder_that_is_a_file_is_said_before_anything_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert main(["record", "--out", str(tmp_path / "out"), "--tracks", "1"]) == 1
    assert "cannot be a folder" in capsys.readouterr().err
