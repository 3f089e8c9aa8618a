"""A track driven under commands, by whoever says what to do: the expert looks on, and all that is judged is kept.

Knows the simulator, the expert and commands; knows no service and no files."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from training.driving.commands import Moment, Spell, Verdict, judge
from training.driving.expert import Expert
from training.driving.road import HALF_WIDTH
from training.driving.simulator import HOLD_TICKS, Action, Observation, Simulator

LOST_OFFSET = 2 * HALF_WIDTH
LOST_ANGLE = 2.0  # rad between the car's nose and the way
"""Where a car is no longer on its way, so that nothing it sees there teaches much."""


class Situation(NamedTuple):
    """What there is to decide on.

    wish: what the expert would do.
    """

    tick: int
    spell: Spell
    observation: Observation
    wish: Action


class Step(NamedTuple):
    """What was done, and where it led: for the map and the film."""

    tick: int
    word: str
    x: float
    y: float
    speed: float
    action: Action
    off_road: bool = False


class Episode:
    """One track, from its start to the end of the lap or of the time."""

    def __init__(self, simulator: Simulator, seed: int, spells: Sequence[Spell]) -> None:
        self._simulator, self.seed = simulator, seed
        self._spells, self._number = spells, 0
        self._observation = simulator.reset(seed)
        self.expert = Expert(simulator.road)
        self._moments: list[list[Moment]] = [[] for _ in spells]
        self.path: list[Step] = []
        self.off_road_ticks = 0

    @property
    def done(self) -> bool:
        """Whether there is nothing more to decide."""
        return self._simulator.done

    def situation(self) -> Situation:
        """Of now."""
        tick = self._simulator.ticks
        while self._number + 1 < len(self._spells) and self._spells[self._number + 1].tick <= tick:
            self._number += 1
        spell = self._spells[self._number]
        return Situation(tick, spell, self._observation, self.wish(spell.word))

    def wish(self, word: str) -> Action:
        """What the expert would do now, were it told so."""
        return self.expert.act(self._simulator.pose, word)

    def step(self, action: Action, *, draw: bool = True) -> None:
        """Do something for `HOLD_TICKS`."""
        before = self._simulator.ticks
        self._observation = self._simulator.step(action, HOLD_TICKS, draw=draw)
        word, pose = self._spells[self._number].word, self._simulator.pose
        moment = self.expert.moment(pose, word)
        ticks = self._simulator.ticks - before
        self._moments[self._number] += [moment] * ticks
        off_road = abs(moment.offset) > HALF_WIDTH
        self.off_road_ticks += ticks * off_road
        self.path.append(Step(self._simulator.ticks, word, pose.x, pose.y, pose.speed, action, off_road))

    @property
    def lost(self) -> bool:
        """Whether the car has left its way so far that an expert should take over."""
        pose = self._simulator.pose
        point, offset = self._simulator.road.locate(pose.x, pose.y)
        x, y = self._simulator.road.ahead(point, 5)
        angle = math.remainder(math.atan2(y - pose.y, x - pose.x) - pose.heading, math.tau)
        return abs(offset) > LOST_OFFSET or (abs(angle) > LOST_ANGLE and pose.speed > 1)

    @property
    def off_road(self) -> bool:
        """Whether the car is beside the road."""
        pose = self._simulator.pose
        return abs(self._simulator.road.locate(pose.x, pose.y).offset) > HALF_WIDTH

    @property
    def reward(self) -> float:
        """So far."""
        return self._simulator.reward

    @property
    def lap_finished(self) -> bool:
        """Whether the lap was."""
        return self._simulator.lap_finished

    @property
    def ticks(self) -> int:
        """So far."""
        return self._simulator.ticks

    @property
    def road(self) -> list[list[float]]:
        """The road's centre line, for the map."""
        return [[float(x), float(y)] for x, y in self._simulator.road.points_N2]

    def verdicts(self) -> list[Verdict]:
        """On every command that was given, but for those that the end cut short."""
        found = (judge(spell, moments) for spell, moments in zip(self._spells, self._moments, strict=True))
        return [verdict for verdict in found if verdict is not None]
