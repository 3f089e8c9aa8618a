"""Drive tracks by a pilot, and say how it went: rewards beside the expert's, commands obeyed, answer times.

Knows episodes; knows no wire and no pictures."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from PIL import Image

from training.driving.commands import COMMANDS, Spell, Verdict, schedule
from training.driving.episode import Episode, Situation, Step
from training.driving.recorder import Progress
from training.driving.simulator import MAX_TICKS, TICKS_PER_SECOND, Action, Simulator

STANDING_SPEED = 2.0
"""Units/s, as `stop` has it."""

FRAME_EVERY = 2
"""Decisions from one frame of a film to the next: 12.5 a second."""


@dataclass(slots=True, eq=False)
class Driven:
    """One track.

    frames: of its film, with the words of that moment; empty where none was asked for.
    expert_reward: what the expert has on it, under the same commands.
    """

    seed: int
    reward: float
    expert_reward: float
    ticks: int
    lap_finished: bool
    off_road_ticks: int
    verdicts: list[Verdict]
    path: list[Step]
    road: list[list[float]]
    frames: list[tuple[Image.Image, str]] = field(default_factory=list)


def drive(
    seeds: Sequence[int],
    pilot: Callable[[Situation], Action],
    progress: Progress,
    *,
    commanded: bool,
    num_films: int = 0,
    simulator: Simulator | None = None,
) -> Iterator[Driven]:
    """Drive tracks one after the other; each is there as soon as it is driven.

    Args:
        seeds: of the tracks.
        pilot: who drives.
        progress: shows how far it is.
        commanded: whether commands are given, drawn by the track's seed; else there is `go` alone.
        num_films: of so many tracks, the first ones, frames are kept.
        simulator: another one than that which draws.
    """
    simulator, blind = simulator or Simulator(), Simulator(drawing=False)
    progress.start("drive", len(seeds))
    for number, seed in enumerate(seeds):
        spells = schedule(Random(seed), MAX_TICKS) if commanded else [Spell(0, "go")]
        frames: list[tuple[Image.Image, str]] = []
        episode = Episode(simulator, seed, spells)
        while not episode.done:
            situation = episode.situation()
            if number < num_films and len(episode.path) % FRAME_EVERY == 0:
                frames.append((Image.fromarray(situation.observation.frame), situation.spell.word))
            episode.step(pilot(situation))
        expert = Episode(blind, seed, spells)
        while not expert.done:
            expert.step(expert.situation().wish, draw=False)
        verdicts = episode.verdicts()
        obeyed = [verdict.obeyed for verdict in verdicts]
        note = f"seed {seed}: {episode.reward:.0f} (expert {expert.reward:.0f}), "
        note += f"obeyed {sum(obeyed)} of {len(obeyed)}"
        progress.log(note)
        progress.advance(note=note)
        yield Driven(
            seed,
            episode.reward,
            expert.reward,
            episode.ticks,
            episode.lap_finished,
            episode.off_road_ticks,
            verdicts,
            episode.path,
            episode.road,
            frames,
        )


def summary(
    driven: Sequence[Driven], seconds: Sequence[float], *, broken_from: int | None = None
) -> dict[str, Any]:
    """The figures of some tracks.

    Args:
        driven: the tracks, one at least.
        seconds: of each answer.
        broken_from: the tick from which something was broken or switched off, if anything was.
    """
    rewards, experts = [one.reward for one in driven], [one.expert_reward for one in driven]
    verdicts = [verdict for one in driven for verdict in one.verdicts]
    return {
        "tracks": len(driven),
        "reward": _spread(rewards),
        "expert_reward": _spread(experts),
        "ratio": round(statistics.mean(rewards) / statistics.mean(experts), 4),
        "laps_finished": sum(one.lap_finished for one in driven),
        "tracks_of_900": sum(reward >= 900 for reward in rewards),
        "off_road_share": round(sum(one.off_road_ticks for one in driven) / sum(one.ticks for one in driven), 4),
        "obeyed": {
            "all": _share(verdicts),
            **{word: _share([v for v in verdicts if v.word == word]) for word in COMMANDS},
        },
        **({} if broken_from is None else {"standstill": standstills(driven, broken_from)}),
        "answer_ms": percentiles(seconds),
        "each": [
            {
                "seed": one.seed,
                "reward": round(one.reward, 1),
                "expert_reward": round(one.expert_reward, 1),
                "ticks": one.ticks,
                "lap_finished": one.lap_finished,
                "commands": [
                    {**verdict._asdict(), "held": round(verdict.held, 3), "obeyed": verdict.obeyed}
                    for verdict in one.verdicts
                ],
            }
            for one in driven
        ],
    }


def standstills(driven: Sequence[Driven], tick: int) -> dict[str, Any]:
    """Whether cars came to stand after a tick, how fast, and whether they had left the road before."""
    seconds, left = [], 0
    for one in driven:
        later = [step for step in one.path if step.tick > tick]
        stood = next((place for place, step in enumerate(later) if step.speed <= STANDING_SPEED), None)
        left += any(step.off_road for step in later[: None if stood is None else stood + 1])
        if stood is not None:
            seconds.append((later[stood].tick - tick) / TICKS_PER_SECOND)
    return {
        "tracks": sum(one.ticks > tick for one in driven),
        "stood": len(seconds),
        "seconds": {"median": round(statistics.median(seconds), 2), "most": max(seconds)} if seconds else {},
        "left_road": left,
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds; of nothing, nothing."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {
        f"p{percent}": round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000, 2)
        for percent in (50, 90, 99)
    }


def wilson(successes: int, tries: int) -> tuple[float, float]:
    """The interval for a share with 95 % (Wilson 1927), which is right for few tries and shares near one."""
    if not tries:
        return 0.0, 1.0
    z, share = 1.96, successes / tries
    middle = (share + z**2 / (2 * tries)) / (1 + z**2 / tries)
    half = z / (1 + z**2 / tries) * math.sqrt(share * (1 - share) / tries + z**2 / (4 * tries**2))
    return middle - half, middle + half


def _share(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    obeyed = sum(verdict.obeyed for verdict in verdicts)
    interval = [round(bound, 3) for bound in wilson(obeyed, len(verdicts))]
    share = round(obeyed / len(verdicts), 4) if verdicts else None
    return {"given": len(verdicts), "obeyed": obeyed, "share": share, "interval_95": interval}


def _spread(values: Sequence[float]) -> dict[str, float]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {
        "mean": round(statistics.mean(values), 1),
        "std": round(deviation, 1),
        "standard_error": round(deviation / math.sqrt(len(values)), 1),
        "least": round(min(values), 1),
    }
