from pathlib import Path

import pytest

from models.errors import ConfigError
from training.driving.commands import COMMANDS
from training.driving.voices import NUM_PARTS, read_voices, speaker_of


def write_voices(folder: Path, speakers: int) -> Path:
    """A file for each word and speaker, which nobody reads here."""
    for word in (*COMMANDS, "marvin"):
        (folder / word).mkdir(parents=True)
        for speaker in range(speakers):
            (folder / word / f"{speaker:08x}_nohash_0.wav").touch()
    return folder


def test_no_voice_is_in_two_splits_and_each_split_has_every_word(tmp_path: Path) -> None:
    voices = read_voices(write_voices(tmp_path, 10))
    heard = {
        split: {speaker_of(path) for found in words.values() for path in found} for split, words in voices.items()
    }
    assert [len(heard[split]) for split in ("train", "val", "test")] == [6, 2, 2]
    assert not heard["train"] & heard["val"] | heard["train"] & heard["test"] | heard["val"] & heard["test"]
    assert all(set(words) == set(COMMANDS) for words in voices.values())


def test_every_voice_is_tested_in_one_fold(tmp_path: Path) -> None:
    folder = write_voices(tmp_path, 10)
    tested = [path for fold in range(NUM_PARTS) for path in read_voices(folder, fold)["test"]["go"]]
    assert sorted(tested) == sorted((folder / "go").iterdir())


def test_too_few_speakers_are_refused_with_what_is_lacking(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"of go \(train\)"):
        read_voices(write_voices(tmp_path, 2))
