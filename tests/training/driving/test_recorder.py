import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.errors import ConfigError
from tests.tiny import Recorder
from training.__main__ import main
from training.driving.commands import COMMANDS
from training.driving.episode import Situation
from training.driving.recorder import FIRST_UNSEEN_SEED, Recording, join_shards, record
from training.driving.simulator import SENSORS, Action
from training.driving.voices import Voices, read_voices

SPARSE = Recording(seed=7, num_tracks=3, every=60, go_share=0.0, spoken_share=0.5)  # train, val, test


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Voices:
    folder = tmp_path_factory.mktemp("voices")
    for place, word in enumerate(COMMANDS):
        (folder / word).mkdir()
        for speaker in range(5):
            tone = 0.3 * np.sin(np.arange(8_000) * (0.1 + 0.02 * place + 0.003 * speaker))
            soundfile.write(folder / word / f"{speaker:08x}_nohash_0.wav", tone, 16_000)
    return read_voices(folder)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, voices: Voices) -> Path:
    return record(SPARSE, tmp_path_factory.mktemp("recorded"), voices, Recorder())


def rows_of(manifest: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in manifest.read_text().splitlines()]


def test_the_manifest_has_no_faults_by_the_recipe(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "recipes/driving.toml", "--data", str(recorded)]) == 0
    assert "no faults" in capsys.readouterr().out


def test_faults_of_readings_and_of_files_are_told_at_once(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(recorded)
    rows[0]["sensors"] = {"sped": 1}
    (recorded.parent / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    rows[1]["image"] = "cut.png"
    faulty = recorded.with_name("faulty.jsonl")
    faulty.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["check", "recipes/driving.toml", "--data", str(faulty)]) == 1
    words = capsys.readouterr().err
    assert "2 fault(s)" in words
    assert "faulty.jsonl:1: sensors: unknown channel 'sped'; did you mean 'speed'?" in words
    assert "faulty.jsonl:2: cut.png" in words


def test_a_row_has_what_was_seen_told_read_and_wished(recorded: Path) -> None:
    for row in rows_of(recorded):
        assert (recorded.parent / str(row["image"])).is_file()
        assert row["text"] in COMMANDS[str(row["command"])].phrases
        assert set(row["sensors"]) == set(SENSORS)  # type: ignore[call-overload]
        assert -0.4 <= row["steer"] <= 0.4  # type: ignore[operator]
        assert 0 <= row["gas"] <= 1  # type: ignore[operator]
        assert 0 <= row["brake"] <= 0.85  # type: ignore[operator]
        if "audio" in row:
            assert str(row["audio"]).startswith(f"voices/{row['split']}/{row['command']}_")


def test_each_moment_is_also_under_other_commands_with_what_they_would_ask_for(recorded: Path) -> None:
    moments: dict[str, list[dict[str, object]]] = {}
    for row in rows_of(recorded):
        moments.setdefault(str(row["image"]), []).append(row)
    for rows in moments.values():
        assert len({row["command"] for row in rows}) == 3
        assert len({str(row["sensors"]) for row in rows}) == 1
    wishes = {tuple(row[name] for name in ("steer", "gas", "brake")) for rows in moments.values() for row in rows}
    assert len(wishes) > 1.5 * len(moments)


def test_a_moment_has_no_more_other_commands_than_there_are() -> None:
    with pytest.raises(ConfigError, match="--others: must be from 0 to 5"):
        Recording(others=6)


def test_a_track_is_in_one_split_and_so_is_a_voice(recorded: Path) -> None:
    rows = rows_of(recorded)
    assert {(row["track"], row["split"]) for row in rows} == {
        ("expert-00007", "train"),
        ("expert-00008", "val"),
        ("expert-00009", "test"),
    }
    said = {str(row["audio"]).split("_")[1]: row["split"] for row in rows if "audio" in row}
    assert all(said[str(row["audio"]).split("_")[1]] == row["split"] for row in rows if "audio" in row)


def test_tracks_that_are_whole_are_not_driven_again(recorded: Path, voices: Voices) -> None:
    before = recorded.read_bytes()
    shards = sorted((recorded.parent / "tracks").iterdir())
    times = [shard.stat().st_mtime_ns for shard in shards]
    shards[1].unlink()
    assert len(rows_of(join_shards(recorded.parent))) < len(before.splitlines())
    record(SPARSE, recorded.parent, voices, Recorder())
    assert recorded.read_bytes() == before
    assert [shards[place].stat().st_mtime_ns for place in (0, 2)] == [times[0], times[2]]


def test_a_folder_of_other_settings_is_refused(recorded: Path) -> None:
    with pytest.raises(ConfigError, match="Take another --out"):
        record(SPARSE, recorded.parent, None, Recorder())


def test_tracks_for_judging_are_never_recorded() -> None:
    Recording(seed=FIRST_UNSEEN_SEED - 1, num_tracks=1)
    with pytest.raises(ConfigError, match="unseen"):
        Recording(seed=FIRST_UNSEEN_SEED - 1, num_tracks=2)


@pytest.mark.slow
def test_of_a_policy_the_expert_says_what_it_would_do_and_brings_back_who_is_lost(tmp_path: Path) -> None:
    asked: list[int] = []

    def left(situation: Situation) -> Action:
        asked.append(situation.tick)
        return Action(steer=-0.3, gas=0.5, brake=0)

    progress = Recorder()
    recording = Recording(name="left", every=60, others=0, num_tracks=1, go_share=1.0)
    manifest = record(recording, tmp_path, None, progress, left)
    rows = rows_of(manifest)
    assert len(rows) == 9  # every 120th of 1,000 ticks, from 0
    assert len(asked) < 500
    assert any(row["steer"] > 0.05 for row in rows)  # type: ignore[operator] # back to the right
