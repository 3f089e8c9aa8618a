"""The commands that a driver is given, what each asks for, and whether it was obeyed.

Knows speeds and places on a road; knows no simulator and no policy.

A command is obeyed within a second if its condition (`Command.holds`) is true at some tick of the first second,
and from that tick on in nine of ten ticks, until the next command comes or two more seconds are over. What is
asked for depends on the place, for nobody takes a hairpin at full speed: `wished` is what the expert means to
drive there. So a driver who ignores commands obeys some of them by chance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from training.driving.road import HALF_WIDTH

REACH_TICKS = 50
"""A second: what a command may take."""

LOOK_TICKS = 100
"""Two seconds: how long it is looked at from where it was reached."""

HELD_SHARE = 0.9

SPELL_TICKS = (100, 200)
"""Least and most ticks from one command to the next: 2 to 4 s."""

TICK_STEP = 4
"""Commands come at multiples of it, so that one always comes when a driver decides."""

FIRST_SPELL_TICKS = 76
"""Every drive begins with `go`: the camera comes nearer for a second, and the car has to get going."""


class Moment(NamedTuple):
    """A tick, as commands are judged by it.

    speed: units/s.
    offset: units beside the road's centre, positive to the left.
    wished: what the expert means to drive at this place under the command, units/s.
    """

    speed: float
    offset: float
    wished: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is asked for.

    word: as Speech Commands has it.
    phrases: how it may be written, the word among them.
    max_speed: units/s.
    offset: of the line to drive along, in units to the left of the road's centre; 0 leaves the line to the driver.
    holds: whether it is obeyed at a moment.
    """

    word: str
    phrases: tuple[str, ...]
    max_speed: float
    offset: float = 0.0
    holds: Callable[[Moment], bool]


def _moves(moment: Moment) -> bool:
    return moment.speed >= 0.4 * moment.wished


USUAL_SPEED, FAST, SLOW, BESIDE = 76.0, 98.0, 35.0, 40.0  # units/s; the road is 13 wide, the car 5 long
SIDE = 3.2  # units from the centre: half-way to the edge, less the car's half

COMMANDS = {
    command.word: command
    for command in (
        Command(
            word="go",
            phrases=("go", "drive on", "normal speed"),
            max_speed=USUAL_SPEED,
            holds=lambda m: _moves(m) and m.speed <= 1.15 * USUAL_SPEED,
        ),
        Command(word="stop", phrases=("stop", "halt", "brake"), max_speed=0.0, holds=lambda m: m.speed <= 2),
        Command(
            word="up",
            phrases=("up", "faster", "speed up"),
            max_speed=FAST,
            # On a long straight that is 78 or more, which `go` never is; elsewhere, what the bends allow.
            holds=lambda m: m.speed >= 0.8 * m.wished,
        ),
        Command(
            word="down",
            phrases=("down", "slower", "slow down"),
            max_speed=SLOW,
            holds=lambda m: _moves(m) and m.speed <= 1.15 * SLOW,
        ),
        Command(
            word="left",
            phrases=("left", "keep left", "left side"),
            max_speed=BESIDE,
            offset=SIDE,
            holds=lambda m: _moves(m) and 1 <= m.offset <= HALF_WIDTH,
        ),
        Command(
            word="right",
            phrases=("right", "keep right", "right side"),
            max_speed=BESIDE,
            offset=-SIDE,
            holds=lambda m: _moves(m) and -HALF_WIDTH <= m.offset <= -1,
        ),
    )
}

FOLLOWERS = {
    "go": ("stop", "up", "down", "left", "right"),
    "stop": ("go",),
    "up": ("go", "stop", "down"),
    "down": ("go", "stop", "left", "right"),
    "left": ("go", "stop", "right", "down"),
    "right": ("go", "stop", "left", "down"),
}
"""What may come after a command. `up` comes after `go` alone: a second is too short to be fast from far slower."""


class Spell(NamedTuple):
    """A command from the tick at which it was given."""

    tick: int
    word: str


def schedule(rng: Random, ticks: int) -> list[Spell]:
    """Commands for an episode of so many ticks, `go` first."""
    spells = [Spell(0, "go")]
    tick = FIRST_SPELL_TICKS + rng.randrange(0, SPELL_TICKS[0], TICK_STEP)
    while tick + REACH_TICKS + LOOK_TICKS // 2 <= ticks:
        spells.append(Spell(tick, rng.choice(FOLLOWERS[spells[-1].word])))
        tick += rng.randrange(*SPELL_TICKS, TICK_STEP)
    return spells


class Verdict(NamedTuple):
    """Of one command.

    reached_ticks: until its condition was first true; None if it was not in the first second.
    held: the share of the ticks from there on at which it was true.
    """

    word: str
    tick: int
    reached_ticks: int | None
    held: float

    @property
    def obeyed(self) -> bool:
        """Within a second."""
        return self.reached_ticks is not None and self.held >= HELD_SHARE


def judge(spell: Spell, moments: Sequence[Moment]) -> Verdict | None:
    """Whether a command was obeyed.

    Args:
        spell: the command.
        moments: every tick from the one after it was given to the next command, or to the end.

    Returns:
        None where the drive ended in less than a second, before it could be said.
    """
    holds = COMMANDS[spell.word].holds
    reached = next((tick for tick, moment in enumerate(moments[:REACH_TICKS]) if holds(moment)), None)
    if len(moments) < REACH_TICKS:
        return None
    if reached is None:
        return Verdict(spell.word, spell.tick, None, 0.0)
    looked_at = moments[reached : reached + LOOK_TICKS]
    return Verdict(spell.word, spell.tick, reached + 1, sum(map(holds, looked_at)) / len(looked_at))
