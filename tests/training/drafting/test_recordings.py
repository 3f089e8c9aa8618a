"""Recipes that are drafted for recordings."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from models.errors import ManifestError
from tests.sounds import spoken, wav, write_recordings
from tests.tiny import Recorder, write_pairs
from training import run
from training.drafting.draft import make_draft
from training.drafting.soundfiles import Sound, rate_of
from training.drafting.summary import summary
from training.drafting.toml import to_toml
from training.recipe import Recipe, read_recipe

WORDS = ["a b", "b a", "a a b", "b b a", "a b a b", "b a b a"]


def recipe_of(path: Path) -> Recipe:
    draft = make_draft(path)
    text = to_toml(draft, name="heard", manifest=path.name, command="train it")
    (path.parent / "recipe.toml").write_text(text, encoding="utf-8")
    return read_recipe(path.parent / "recipe.toml")


def test_a_column_of_recordings_with_labels_and_speakers(tmp_path: Path) -> None:
    path = write_recordings(tmp_path, 80)
    recipe = recipe_of(path)
    columns = recipe.data.columns
    assert (columns.audio, columns.speaker, columns.split) == ("recording", "speaker", "split")
    assert set(columns.labels) == {"word", "pitch"}
    assert columns.transcript is None
    assert recipe.preprocessing.audio is not None
    assert recipe.preprocessing.audio.rate_hz == 8_000
    assert recipe.stages.alone == ("audio",)
    assert recipe.stages.fusion is not None
    assert len(run.check(recipe, path, Recorder()).recordings) == 80
    lines = summary(make_draft(path))
    assert "of audio: epochs" in "\n".join(lines)
    assert lines[-1] == "How long training takes is not estimated where there are recordings."


def test_a_folder_of_folders_of_recordings(tmp_path: Path) -> None:
    write_recordings(tmp_path / "flat", 40)
    for number in range(40):
        folder = tmp_path / "sounds" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "flat" / f"{number}.wav", folder)
    recipe = recipe_of(tmp_path / "sounds")
    assert (recipe.data.columns.audio, recipe.data.columns.labels) == ("audio", ("label",))
    pairs = run.check(recipe, tmp_path / "sounds", Recorder())
    assert all(pairs.sizes().values())


def test_what_is_said_becomes_a_transcript_that_a_joint_stage_learns(tmp_path: Path) -> None:
    lines = ["path,sentence,client_id"]
    for number in range(60):
        (tmp_path / f"{number}.wav").write_bytes(wav(spoken(WORDS[number % 6]), 16_000))
        lines.append(f"{number}.wav,{WORDS[number % 6]},v{number % 10}")
    # Few sentences, often repeated, are labels; here each is one of its own.
    named = [lines[0], *(line.replace(",v", f" {'ab'[n % 2] * n},v") for n, line in enumerate(lines[1:], 1))]
    path = tmp_path / "said.csv"
    path.write_text("\n".join(named) + "\n")
    recipe = recipe_of(path)
    columns = recipe.data.columns
    assert (columns.audio, columns.transcript, columns.speaker) == ("path", "sentence", "client_id")
    assert columns.text == columns.labels == ()
    assert "client_id" in columns.group
    assert recipe.preprocessing.audio is not None
    assert recipe.preprocessing.audio.rate_hz == 16_000
    assert recipe.network.transcript is not None
    assert recipe.network.transcript.units == "words"
    assert recipe.stages.alone == ()
    assert recipe.stages.joint is not None
    assert not recipe.untrained
    run.check(recipe, path, Recorder())


def test_recordings_beside_images_and_texts_and_what_equal_ones_do_to_the_splits(tmp_path: Path) -> None:
    lines = write_pairs(tmp_path, 60).read_text().splitlines()
    path = tmp_path / "all.csv"
    for different in (60, 6):
        rows = [f"{lines[0]},sound"]
        for number, line in enumerate(lines[1:]):
            silence = np.zeros(number % different, np.float32)
            (tmp_path / f"{number}.wav").write_bytes(wav(np.concatenate([silence, spoken("a")])))
            rows.append(f"{line},{number}.wav")
        path.write_text("\n".join(rows) + "\n")
        draft = make_draft(path)
        assert bool(draft.carve.count("train")) == (different == 60)
        if different == 60:
            recipe = recipe_of(path)
            assert recipe.stages.alone == ("image", "text", "audio")
            run.check(recipe, path, Recorder())
        else:  # a group never straddles a split, and each of six has rows of all splits
            assert any("No rows are left for train" in warning for warning in draft.guess.warnings)


def test_recordings_that_are_not_there_are_told_of(tmp_path: Path) -> None:
    path = write_recordings(tmp_path, 40)
    path.write_text(path.read_text().replace(".wav", "-lost.wav"))
    with pytest.raises(ManifestError, match=r"column 'recording' names recordings, but few of them are there"):
        make_draft(path)


def test_recordings_that_say_nothing_and_have_no_label_teach_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.wav").write_bytes(wav(spoken("a")))
    with pytest.raises(ManifestError, match="nothing here can be learnt"):
        make_draft(folder)


def test_the_rate_is_that_of_most_recordings() -> None:
    assert rate_of([]) == 16_000
    assert rate_of([Sound(1.0, 8_000), Sound(1.0, 8_000), Sound(1.0, 44_100)]) == 8_000
    assert rate_of([Sound(1.0, 44_100)]) == 16_000
