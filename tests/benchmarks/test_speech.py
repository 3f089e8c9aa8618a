"""What the benchmarks of speech hand out: strings that a seed decides, and splits. Nothing is trained."""

import io
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speech.loso import at_random, strings_of, summary
from benchmarks.speech.pocketsphinx import MANY, ONE, grammar
from benchmarks.speech.rtf import recording_of
from benchmarks.speech.strings import Recording, join_strings, joined, read_digits, recordings_of
from benchmarks.speech.trained import trained
from recipes import spoken_digits
from tests.sounds import RATE, spoken_recipe, tone, wav


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two speakers say each digit six times, as tones of a fifth of a second."""
    for digit in range(10):
        for speaker in ("ada", "bob"):
            for index in range(6):
                (tmp_path / f"{digit}_{speaker}_{index}.wav").write_bytes(wav(tone(300 + 100 * digit)))
    return tmp_path


def seconds_of(data: bytes) -> float:
    with wave.open(io.BytesIO(data)) as file:
        return file.getnframes() / file.getframerate()


def of_speaker(recordings: list[Recording], name: str) -> list[Recording]:
    return [one for one in recordings if one.speaker == name]


def test_a_seed_decides_the_strings_and_another_seed_gives_others(folder: Path) -> None:
    ada = of_speaker(read_digits(folder), "ada")
    strings, again, others = (join_strings(ada, 5, seed) for seed in ("0", "0", "1"))
    assert [one.wav for one in strings] == [one.wav for one in again]
    assert [one.text for one in strings] != [one.text for one in others]


def test_a_string_has_three_to_eight_words_and_a_pause_between_any_two(folder: Path) -> None:
    for one in join_strings(of_speaker(read_digits(folder), "ada"), 50, "0"):
        num_words = len(one.text.split())
        pauses = seconds_of(one.wav) - 0.2 * num_words
        assert 3 <= num_words <= 8
        assert set(one.text.split()) <= set(spoken_digits.WORDS)
        assert 0.05 * (num_words - 1) - 0.01 <= pauses <= 0.5 * (num_words - 1) + 0.01


def test_the_noise_of_a_string_is_30_db_below_it_and_fills_its_pauses(folder: Path) -> None:
    paths = [folder / "1_ada_0.wav", folder / "2_ada_0.wav"]
    samples, rate = joined(paths, [0.5], 0)
    pause = samples[round(0.2 * rate) : round(0.7 * rate)]
    assert 10 * np.log10(np.mean(samples**2) / np.mean(pause**2)) == pytest.approx(30, abs=0.3)


def test_strings_of_several_speakers_are_as_many_of_each(folder: Path) -> None:
    recordings = read_digits(folder)
    both = strings_of(recordings, 10, 0)
    ada = strings_of(of_speaker(recordings, "ada"), 5, 0)
    assert len(both) == 10
    assert [one.wav for one in both[:5]] == [one.wav for one in ada]


def test_a_speaker_that_is_left_out_is_the_test_split_and_no_one_else_is(folder: Path) -> None:
    rows = spoken_digits.rows(folder, "bob")
    assert {row["speaker"] for row in rows if row["split"] == "test"} == {"bob"}
    assert {row["split"] for row in rows if row["speaker"] == "ada"} == {"train", "val"}


def test_the_random_split_holds_out_a_fifth_whoever_speaks(folder: Path) -> None:
    rows = at_random(spoken_digits.rows(folder), 0)
    assert Counter(row["split"] for row in rows) == {"train": 84, "test": 24, "val": 12}
    assert {row["speaker"] for row in rows if row["split"] == "test"} == {"ada", "bob"}
    assert rows == at_random(spoken_digits.rows(folder), 0)


def test_the_worst_speaker_has_the_least_accuracy_and_the_most_errors() -> None:
    found = {"ada": {"accuracy": 0.9, "wer_strings": 0.1}, "bob": {"accuracy": 0.8, "wer_strings": 0.3}}
    assert summary(found) == {
        "accuracy": {"mean": 0.85, "worst": 0.8},
        "wer_strings": {"mean": 0.2, "worst": 0.3},
    }


def test_a_recording_for_the_real_time_factor_lasts_just_as_long_as_asked(folder: Path) -> None:
    assert seconds_of(recording_of(read_digits(folder), 2.5)) == 2.5


def test_the_rivals_grammar_has_one_digit_or_a_string_of_them() -> None:
    assert "public <digits> = <word>;" in grammar(ONE)
    assert "public <digits> = <word>+;" in grammar(MANY)
    assert "<word> = zero | one | two" in grammar(ONE)


def test_a_folder_without_recordings_ends_the_command(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no recordings named"):
        read_digits(tmp_path)


def test_rows_become_recordings(folder: Path) -> None:
    first = recordings_of(spoken_digits.rows(folder))[0]
    assert (first.word, first.label, first.speaker) == ("zero", "0", "ada")


def short_rows(folder: Path, count: int) -> list[dict[str, str]]:
    rows = []
    for number in range(count):
        path = folder / f"{number}.wav"
        path.write_bytes(wav(tone(400 + 1_600 * (number % 2) + number), RATE))
        split = {8: "val", 9: "test"}.get(number // 2 % 10, "train")
        pitch, word = (("low", "a"), ("high", "b"))[number % 2]
        rows.append({"recording": str(path), "word": word, "pitch": pitch, "speaker": "x", "split": split})
    return rows


@pytest.mark.slow
def test_what_was_trained_is_trained_again_only_with_other_rows(tmp_path: Path) -> None:
    stage = {"epochs": 1, "batch_size": 8}
    recipe = spoken_recipe(stages={"audio": stage, "fusion": stage})
    rows = short_rows(tmp_path, 40)
    versions = [trained(recipe, some, tmp_path / "kept").config.version for some in (rows, rows, rows[::-1])]
    assert versions == [1, 1, 2]
