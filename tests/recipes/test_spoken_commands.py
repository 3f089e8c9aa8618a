"""The folds of few words by many speakers."""

import csv
import sys
from collections import Counter
from pathlib import Path

import pytest

from recipes import spoken_commands
from training.recipe import read_recipe

RECIPES = Path(spoken_commands.__file__).parent
WORDS = ("cat", "dog", "tree")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty speakers: every fourth says all three words, the others one of them."""
    for number in range(40):
        for word in WORDS if number % 4 == 0 else (WORDS[number % 3],):
            path = tmp_path / word / f"{number:08x}_nohash_0.wav"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    return tmp_path


def test_no_speaker_is_in_two_splits(folder: Path) -> None:
    for fold in range(spoken_commands.NUM_FOLDS):
        splits: dict[str, set[str]] = {}
        for row in spoken_commands.rows(folder, fold):
            splits.setdefault(row["speaker"], set()).add(row["split"])
        assert all(len(one) == 1 for one in splits.values())
        assert set.union(*splits.values()) == {"train", "val", "test"}


def test_each_recording_is_tested_in_one_fold(folder: Path) -> None:
    tested = Counter(
        row["id"]
        for fold in range(spoken_commands.NUM_FOLDS)
        for row in spoken_commands.rows(folder, fold)
        if row["split"] == "test"
    )
    assert len(tested) == 60
    assert set(tested.values()) == {1}


def test_folds_have_about_as_many_recordings_of_each_word(folder: Path) -> None:
    for fold in range(spoken_commands.NUM_FOLDS):
        words = Counter(row["word"] for row in spoken_commands.rows(folder, fold) if row["split"] == "test")
        assert words.total() == pytest.approx(12, abs=2)
        assert all(words[word] == pytest.approx(4, abs=2) for word in WORDS)


def test_the_name_before_nohash_speaks() -> None:
    assert spoken_commands.speaker_of(Path("bed/6d818f6c_nohash_2.wav")) == "6d818f6c"


def test_the_command_writes_the_manifest_that_the_recipe_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "commands.csv"
    monkeypatch.setattr(sys, "argv", ["spoken_commands.py", str(folder), str(out), "--fold", "4"])
    spoken_commands.main()
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    columns = read_recipe(RECIPES / "commands.toml").data.columns
    assert {columns.id, columns.audio, columns.speaker, columns.split, *columns.labels} <= rows[0].keys()
    assert rows == spoken_commands.rows(folder, 4)


def test_commands_can_start_from_the_digits() -> None:
    digits, commands = (read_recipe(RECIPES / f"{name}.toml") for name in ("digits", "commands"))
    assert commands.preprocessing.audio == digits.preprocessing.audio
    assert commands.network.width == digits.network.width
    assert commands.network.audio is not None
    assert digits.network.audio is not None
    changes = {"dropout": digits.network.audio.dropout}
    assert commands.network.audio.model_copy(update=changes) == digits.network.audio
