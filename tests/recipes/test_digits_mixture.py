"""Pairs of a noisy picture and a noisy recording of one digit."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes import digits_mixture
from tests.sounds import tone, wav
from training.recipe import read_recipe

RECIPES = Path(digits_mixture.__file__).parent
DIGITS = np.arange(200) % 10


def pairs(folder: Path) -> list[dict[str, str]]:
    """Of three speakers, who say each digit twice, and twenty scans of each digit."""
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    for digit in range(10):
        for speaker in ("ada", "bob", "cyd"):
            for index in range(2):
                (recordings / f"{digit}_{speaker}_{index}.wav").write_bytes(wav(tone(300 + 100 * digit)))
    scans = np.zeros((200, 8, 8))
    scans[:, 4, 4] = 16
    options = argparse.Namespace(
        recordings=recordings, out=folder / "out", val="bob", test="cyd", image_noise=0.4, sound_db=8.0, seed=0
    )
    return digits_mixture.write_pairs(options, scans, DIGITS)


def test_neither_a_speaker_nor_a_scan_is_in_two_splits(tmp_path: Path) -> None:
    rows = pairs(tmp_path)
    for column in ("speaker", "scan"):
        splits: dict[str, set[str]] = {}
        for row in rows:
            splits.setdefault(row[column], set()).add(row["split"])
        assert all(len(one) == 1 for one in splits.values())
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_picture_and_recording_are_of_the_rows_digit(tmp_path: Path) -> None:
    for row in pairs(tmp_path):
        assert DIGITS[int(row["scan"])] == int(row["digit"]) == int(row["id"][0])
        with Image.open(tmp_path / "out" / row["image"]) as image:
            assert (image.size, image.mode) == ((32, 32), "L")
        samples, rate = digits_mixture.read_wav(tmp_path / "out" / row["audio"])
        assert (len(samples), rate) == (1600, 8000)


def test_a_seed_decides_all_files(tmp_path: Path) -> None:
    one, other = pairs(tmp_path / "one"), pairs(tmp_path / "other")
    assert one == other
    for row in one:
        for column in ("image", "audio"):
            paths = [tmp_path / name / "out" / row[column] for name in ("one", "other")]
            assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_test_split_uses_no_scan_twice(tmp_path: Path) -> None:
    scans = [row["scan"] for row in pairs(tmp_path) if row["split"] == "test"]
    assert len(scans) == len(set(scans)) == 20


def test_noise_is_as_far_below_speech_as_asked() -> None:
    clean = np.sin(np.arange(80_000) / 7.0)
    noisy = digits_mixture.noisy_recording(clean, 10.0, np.random.default_rng(0)).astype(np.float64)
    share = np.corrcoef(clean, noisy)[0, 1] ** 2  # of the noisy power, what is speech: 10 / 11
    assert share == pytest.approx(10 / 11, abs=0.005)


def test_the_recipe_fuses_both_and_names_what_the_manifest_has(tmp_path: Path) -> None:
    recipe = read_recipe(RECIPES / "digits_mixture.toml")
    columns = recipe.data.columns
    named = {columns.id, columns.image, columns.audio, columns.speaker, columns.split, *columns.labels}
    assert named <= pairs(tmp_path)[0].keys()
    assert recipe.network.modalities == ("image", "audio")
    assert recipe.network.fusion == "gated"
