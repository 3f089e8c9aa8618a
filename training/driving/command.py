"""`python -m training record` and `drive`: what they do with their arguments."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from models.errors import ConfigError
from training.driving.client import reach
from training.driving.drive import drive, summary
from training.driving.pictures import film, track_map
from training.driving.pilot import MODALITIES, Manners, Pilot
from training.driving.recorder import Recording, record
from training.driving.simulator import HOLD_TICKS
from training.driving.voices import read_voices
from training.progress import TerminalProgress


def record_command(options: argparse.Namespace) -> int:
    """Record some tracks. The manifest is the last line on stdout."""
    recording = Recording(
        name=options.name,
        seed=options.seed,
        num_tracks=options.tracks,
        every=options.every,
        others=options.others,
        go_share=options.go_share,
    )
    voices = None if options.voices is None else read_voices(options.voices, options.fold)
    with _pilot(options) as pilot, TerminalProgress() as progress:
        manifest = record(recording, options.out, voices, progress, pilot)
    print(manifest)
    return 0


def drive_command(options: argparse.Namespace) -> int:
    """Drive some tracks by a service. The figures are printed, and in the folder of the last line."""
    without = [name for name in options.without.split(",") if name]
    if unknown := [name for name in without if name not in MODALITIES]:
        raise ConfigError(f"--without {unknown[0]}: not one of {', '.join(MODALITIES)}.")
    if options.seed < 0:
        raise ConfigError("--seed: must be at least 0.")
    if options.tracks < 1:
        raise ConfigError("--tracks: must be at least 1.")
    manners = Manners(
        spoken=None if options.voices is None else read_voices(options.voices, options.fold)["test"],
        without=without,
        fault=options.fault,
        from_tick=options.from_tick,
        fallback=not options.no_fallback,
    )
    service = reach(options.url, options.model, post=options.post)
    pilot = Pilot(service, manners)
    try:
        with TerminalProgress() as progress:
            seeds = range(options.seed, options.seed + options.tracks)
            driven = drive(seeds, pilot, progress, commanded=options.commands, num_films=options.films)
    finally:
        service.close()
    found = summary(driven, pilot.seconds, broken_from=manners.broken_from)
    found["answers"] = pilot.figures()
    found["setting"] = {
        "model": options.model,
        "seeds": [seeds.start, seeds.stop - 1],
        "decision_ticks": HOLD_TICKS,
        "commands": _told(options),
        "without": without,
        "fault": options.fault,
        "from_tick": options.from_tick,
        "fallback": manners.fallback,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "drive.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for one in driven[: options.films]:
        (options.out / f"track-{one.seed}.gif").write_bytes(film(one))
        (options.out / f"track-{one.seed}.png").write_bytes(track_map(one))
    shown = {name: value for name, value in found.items() if name != "each"}
    print(json.dumps(shown, indent=1))
    print(options.out)
    return 0


def _told(options: argparse.Namespace) -> str:
    if not options.commands:
        return "go alone, spoken" if options.voices else "go alone, written"
    return "spoken" if options.voices else "written"


@contextmanager
def _pilot(options: argparse.Namespace) -> Iterator[Any]:
    """Who drives in the expert's place, if anybody."""
    if options.policy is None:
        yield None
        return
    service = reach(options.policy, options.model)
    try:
        # To brake on doubt would hide the places that the policy is to learn from.
        yield Pilot(service, Manners(fallback=False))
    finally:
        service.close()
