"""`python -m training record` and `drive`: what they do with their arguments."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from models.errors import ConfigError
from training.driving.client import reach
from training.driving.drive import Driven, drive, summary
from training.driving.folder import make_folder, write
from training.driving.pictures import film, track_map
from training.driving.pilot import MODALITIES, Manners, Pilot
from training.driving.recorder import Recording, record
from training.driving.simulator import HOLD_TICKS
from training.driving.voices import read_voices
from training.progress import TerminalProgress

FIGURES = "drive.json"


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
    """Drive some tracks by a service. The figures are printed, and in the folder of the last line.

    They are written anew after each track, so that who is interrupted has those of the tracks before.
    """
    _check(options)
    manners = Manners(
        spoken=None if options.voices is None else read_voices(options.voices, options.fold)["test"],
        without=_without(options),
        fault=options.fault,
        from_tick=options.from_tick,
        fallback=not options.no_fallback,
    )
    make_folder(options.out)
    service = reach(options.url, options.model, post=options.post, key=_key(options))
    (options.out / FIGURES).unlink(missing_ok=True)  # an earlier drive's
    try:
        found = _driven(options, manners, Pilot(service, manners))
    finally:
        service.close()
    shown = {name: value for name, value in found.items() if name != "each"}
    print(json.dumps(shown, indent=1))
    print(options.out)
    return 0


def _driven(options: argparse.Namespace, manners: Manners, pilot: Pilot) -> dict[str, Any]:
    """Drive; the figures of all tracks."""
    seeds = range(options.seed, options.seed + options.tracks)
    driven: list[Driven] = []
    found: dict[str, Any] = {}
    try:
        with TerminalProgress() as progress:
            for one in drive(seeds, pilot, progress, commanded=options.commands, num_films=options.films):
                if one.frames:
                    write(options.out / f"track-{one.seed}.gif", film(one))
                    write(options.out / f"track-{one.seed}.png", track_map(one))
                    one.frames.clear()
                driven.append(one)
                found = summary(driven, pilot.seconds, broken_from=manners.broken_from)
                found |= {"answers": pilot.figures(), "setting": _setting(options, manners)}
                write(options.out / FIGURES, json.dumps(found, indent=1) + "\n")
    except ConfigError as error:
        kept = f" {len(driven)} track(s) are in {options.out / FIGURES}." if driven else ""
        raise ConfigError(f"{error}{kept}") from None
    return found


def _check(options: argparse.Namespace) -> None:
    """Refuse numbers that are out of range."""
    if unknown := [name for name in _without(options) if name not in MODALITIES]:
        raise ConfigError(f"--without {unknown[0]}: not one of {', '.join(MODALITIES)}.")
    for name, least in (("seed", 0), ("tracks", 1), ("films", 0), ("from_tick", 0)):
        if getattr(options, name) < least:
            raise ConfigError(f"--{name.replace('_', '-')}: must be at least {least}.")


def _without(options: argparse.Namespace) -> list[str]:
    return [name for name in options.without.split(",") if name]


def _setting(options: argparse.Namespace, manners: Manners) -> dict[str, Any]:
    return {
        "model": options.model,
        "seeds": [options.seed, options.seed + options.tracks - 1],
        "decision_ticks": HOLD_TICKS,
        "commands": _told(options),
        "without": list(manners.without),
        "fault": options.fault,
        "from_tick": options.from_tick,
        "fallback": manners.fallback,
    }


def _key(options: argparse.Namespace) -> str | None:
    if options.key_file is None:
        return None
    try:
        key = str(options.key_file.read_text(encoding="ascii")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--key-file {options.key_file}: cannot be read ({error}).") from None
    if not key or len(key.split()) > 1:
        raise ConfigError(f"--key-file {options.key_file}: must have one key, and nothing more.")
    return key


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
    service = reach(options.policy, options.model, key=_key(options), flag="--policy")
    try:
        # To brake on doubt would hide the places that the policy is to learn from.
        yield Pilot(service, Manners(fallback=False))
    finally:
        service.close()
