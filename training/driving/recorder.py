"""Record drives: frames, readings, commands written and spoken, and what the expert would do, as a manifest.

A track is one shard: its rows are written when it is driven, and all shards together are `manifest.jsonl`.
Interrupted, the same call goes on with the first track that has no shard. Knows the simulator; knows no network.

    out/manifest.jsonl          all rows
    out/recording.json          what all of its tracks share
    out/tracks/<track>.jsonl    the rows of one
    out/frames/<track>/*.png    what was seen
    out/voices/<split>/*.wav    what was said"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from PIL import Image

from models.errors import ConfigError
from training.driving.commands import COMMANDS, Spell, schedule
from training.driving.disturbance import Disturbance
from training.driving.episode import Episode, Situation
from training.driving.folder import make_folder, write
from training.driving.simulator import MAX_TICKS, Action, Simulator
from training.driving.voices import Voices, speaker_of

FIRST_UNSEEN_SEED = 100_000
"""Tracks from this seed on are never recorded: policies are judged on them."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

PNG_LEVEL = 1  # 0.4 ms and 4 KB a frame


class Progress(Protocol):
    """Shows how far the work is."""

    def start(self, name: str, total: int) -> None:
        """A piece of work of `total` units begins."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Some units are done."""

    def log(self, line: str) -> None:
        """Keep a line on the screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What to record.

    name: of the round; tracks are `<name>-<seed>`.
    seed: of the first track; the others follow.
    num_tracks: how many.
    every: a row for every so many decisions, of which there are 25 a second.
    others: rows beside it of the same moment, each under another command than the one in force.
    go_share: share of the tracks that are driven under `go` alone.
    disturbed_share: share of the tracks where noise goes into what is done.
    spoken_share: share of the rows that have a recording of their command.
    """

    name: str = "expert"
    seed: int = 0
    num_tracks: int = 40
    every: int = 2
    others: int = 2
    go_share: float = 0.5
    disturbed_share: float = 0.7
    spoken_share: float = 0.3

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            ConfigError: a number out of its range.
        """
        if not 0 <= self.others < len(COMMANDS):
            raise ConfigError(
                f"--others: must be from 0 to {len(COMMANDS) - 1}, the commands that there are beside one."
            )
        if not NAME.fullmatch(self.name):
            raise ConfigError(f"--name {self.name!r}: must be letters, digits, or _ . - within: folders have it.")
        if not 0 <= self.go_share <= 1:
            raise ConfigError("--go-share: must be from 0 to 1.")
        if self.num_tracks < 1 or self.every < 1:
            raise ConfigError("--tracks and --every: must be at least 1.")
        if self.seed < 0 or self.seed + self.num_tracks > FIRST_UNSEEN_SEED:
            raise ConfigError(f"--seed and --tracks: seeds from {FIRST_UNSEEN_SEED} on are for unseen tracks.")


def split_of(seed: int) -> str:
    """Of ten tracks in a row eight are for training, one for validation and one for the test."""
    return {8: "val", 9: "test"}.get(seed % 10, "train")


def record(
    recording: Recording,
    out: Path,
    voices: Voices | None,
    progress: Progress,
    pilot: Callable[[Situation], Action] | None = None,
) -> Path:
    """Drive and write all tracks that are not yet there.

    Args:
        recording: what to record.
        out: the folder, which may have tracks of other rounds.
        voices: recordings of the commands; without them they are written alone.
        progress: shows how far it is.
        pilot: who drives, where it is not the expert; who gets lost is brought back by the expert.

    Returns:
        The manifest.
    """
    make_folder(out, "tracks")
    _keep_settings(out, {"every": recording.every, "voices": _names(voices)})
    simulator = Simulator()
    progress.start("record", recording.num_tracks)
    try:
        for seed in range(recording.seed, recording.seed + recording.num_tracks):
            track = f"{recording.name}-{seed:05d}"
            shard = out / "tracks" / f"{track}.jsonl"
            note = ""
            if not shard.exists():
                drive = _Drive(recording, track, seed, out, voices)
                rows, note = drive.rows(simulator, pilot)
                write(shard, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
                progress.log(f"{track}: {note}")
            progress.advance(note=note)
    finally:
        manifest = join_shards(out)
    return manifest


def join_shards(out: Path) -> Path:
    """Write `manifest.jsonl` anew, of all shards that are whole."""
    shards = sorted((out / "tracks").glob("*.jsonl"))
    manifest = out / "manifest.jsonl"
    write(manifest, "".join(shard.read_text(encoding="utf-8") for shard in shards))
    return manifest


class _Drive:
    """One track of a recording."""

    def __init__(self, recording: Recording, track: str, seed: int, out: Path, voices: Voices | None) -> None:
        self.recording, self.track, self.seed, self.out = recording, track, seed, out
        self.rng = Random(f"{recording.name}:{seed}")
        self.split = split_of(seed)
        self.voices = None if voices is None else voices[self.split]
        go_alone = self.rng.random() < recording.go_share
        self.spells = [Spell(0, "go")] if go_alone else schedule(self.rng, MAX_TICKS)
        self.disturb = Disturbance(self.rng) if self.rng.random() < recording.disturbed_share else None

    def rows(
        self, simulator: Simulator, pilot: Callable[[Situation], Action] | None
    ) -> tuple[list[dict[str, Any]], str]:
        """Drive it; the rows, and a line about it."""
        frames = self.out / "frames" / self.track
        shutil.rmtree(frames, ignore_errors=True)  # of a track that was broken off
        frames.mkdir(parents=True)
        episode = Episode(simulator, self.seed, self.spells)
        rows: list[dict[str, Any]] = []
        every, rescued, number = self.recording.every, 0, 0
        rescue = False
        while not episode.done:
            situation = episode.situation()
            if number % every == 0:
                rows += self._rows(situation, episode, frames)
            action = situation.wish
            if pilot is not None:
                rescue = episode.lost or (rescue and episode.off_road)
                rescued += rescue
                action = situation.wish if rescue else pilot(situation)
            elif self.disturb is not None:
                action = self.disturb(action)
            number += 1
            # A pilot looks at every frame; the expert at none.
            episode.step(action, draw=pilot is not None or number % every == 0)
        obeyed = [verdict.obeyed for verdict in episode.verdicts()]
        note = (
            f"{self.split}, reward {episode.reward:.0f}, {len(rows)} rows, obeyed {sum(obeyed)} of {len(obeyed)}"
        )
        return rows, note + (f", {rescued} decisions by the expert" if pilot is not None else "")

    def _rows(self, situation: Situation, episode: Episode, frames: Path) -> list[dict[str, Any]]:
        """One moment: under its own command, and under some others, of which the expert says what it would do."""
        path = frames / f"{situation.tick:04d}.png"
        Image.fromarray(situation.observation.frame).save(path, compress_level=PNG_LEVEL)
        own = situation.spell.word
        # Else a car at the left edge would always be one that was told so, and the command would say nothing.
        others = self.rng.sample([word for word in COMMANDS if word != own], self.recording.others)
        return [self._row(situation, word, episode.wish(word), path) for word in (own, *others)]

    def _row(self, situation: Situation, word: str, wish: Action, frame: Path) -> dict[str, Any]:
        asked = "" if word == situation.spell.word else f"-{word}"
        row: dict[str, Any] = {
            "id": f"{self.track}-{situation.tick:04d}{asked}",
            "image": frame.relative_to(self.out).as_posix(),
            "text": self.rng.choice(COMMANDS[word].phrases),
            "sensors": situation.observation.sensors,
            "command": word,
            **{name: round(value, 4) for name, value in wish._asdict().items()},
            "track": self.track,
            "split": self.split,
        }
        if self.voices is not None and self.rng.random() < self.recording.spoken_share:
            row["audio"] = self._said(self.rng.choice(self.voices[word]))
        return row

    def _said(self, recording: Path) -> str:
        path = self.out / "voices" / self.split / f"{recording.parent.name}_{recording.name}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(recording, path)
        return path.relative_to(self.out).as_posix()


def _names(voices: Voices | None) -> dict[str, list[str]] | None:
    if voices is None:
        return None
    return {
        split: sorted({speaker_of(path) for found in words.values() for path in found})
        for split, words in voices.items()
    }


def _keep_settings(out: Path, settings: dict[str, Any]) -> None:
    """What all tracks of a folder share; with other splits of the speakers, training would hear the test's."""
    path = out / "recording.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise ConfigError(f"{path}: was recorded with another --every, --voices or --fold. Take another --out.")
    write(path, json.dumps(settings, indent=1) + "\n")
