"""A driver who reads the track: pure pursuit of a line (Coulter 1992), as fast as the bends ahead allow.

Knows roads and commands; knows no frames. What it looks at lies within what a frame shows, 37 units ahead, so that
somebody who sees only frames can learn to do the same.

# N points of a closed line"""

import math
from dataclasses import dataclass

import numpy as np

from training.driving.commands import COMMANDS, Moment
from training.driving.road import HALF_WIDTH, Floats, Line
from training.driving.simulator import Action, Pose

WHEELBASE = 3.24  # units
MAX_STEER = 0.4  # rad, where the wheels' joints end
MAX_BRAKE = 0.85  # from 0.9 on the wheels lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the expert drives. Found by trying on tracks of their own (seeds of `tune`), not derived.

    The tyres hold some 220 units/s²; who uses half of it has the other half for what goes wrong.
    """

    smoothing: int = 4  # points either way: bends are cut
    bend_reach: int = 3  # points either way that a bend is the mean of
    grip: float = 110  # units/s² sideways
    braking: float = 95  # units/s²
    pull: float = 44  # units/s²: what full gas gives at any speed
    arc_grip: float = 200  # the same on the arc to what is aimed at, tight where the car has left its line
    ahead_seconds: float = 0.2
    ahead_least: float = 5  # units
    ahead_most: float = 20  # units
    steer_gain: float = 1.25  # more than the wheels' geometry says, for the tyres slip
    yaw_gain: float = 0.02  # rad of steering for each rad/s that the car turns too little
    gas_gain: float = 0.1  # for each unit/s that is lacking
    brake_gain: float = 0.03  # for each unit/s too much
    gas_for_steering: float = 1.2  # of the gas that a radian of steering forbids: wheels that push hold less
    slip_gas: float = 3.0  # of the gas that a radian between nose and way forbids
    speed_beside: float = 30  # units/s, off the road


def max_speeds(line: Line, most: float, manner: Manner) -> Floats:
    """(N,) units/s: what bends allow, v² = grip / bend, and what can be braked to and reached, v² = u² + 2 a s."""
    reach = range(-manner.bend_reach, manner.bend_reach + 1)
    bends_N = np.mean([np.roll(np.abs(line.bends), shift) for shift in reach], axis=0)
    squares_N = np.minimum(manner.grip / np.maximum(bends_N, 1e-9), most**2)
    lengths_N, size = line.lengths, len(line.points_N2)
    # Twice around: the line is closed, and what lies behind its last point is its first.
    for step in range(2 * size - 1, -1, -1):
        here, there = step % size, (step + 1) % size
        squares_N[here] = min(squares_N[here], squares_N[there] + 2 * manner.braking * lengths_N[here])
    for step in range(2 * size):
        here, there = step % size, (step + 1) % size
        squares_N[there] = min(squares_N[there], squares_N[here] + 2 * manner.pull * lengths_N[here])
    speeds_N: Floats = np.sqrt(squares_N)
    return speeds_N


def arc_to(pose: Pose, point: tuple[float, float]) -> float:
    """The bend of the arc that leaves along the nose and meets a point, 2 sin(angle) / distance; left is positive.

    A point behind is met by the tightest arc to its side, for an arc through it would first lead away.
    """
    dx, dy = point[0] - pose.x, point[1] - pose.y
    distance = max(math.hypot(dx, dy), 1e-6)
    angle = math.remainder(math.atan2(dy, dx) - pose.heading, math.tau)
    sine = math.copysign(1.0, angle) if abs(angle) > math.pi / 2 else math.sin(angle)
    return 2 * sine / distance


class Expert:
    """Drives one road, and remembers where on it the car was."""

    def __init__(self, road: Line, manner: Manner | None = None) -> None:
        self.road, self.manner = road, manner or Manner()
        usual = road.smoothed(self.manner.smoothing)
        self._lines = {word: road.shifted(c.offset) if c.offset else usual for word, c in COMMANDS.items()}
        self._speeds_N = {
            word: max_speeds(self._lines[word], command.max_speed, self.manner)
            for word, command in COMMANDS.items()
        }
        self._index: int | None = None

    def moment(self, pose: Pose, word: str) -> Moment:
        """How a command is judged by where the car is."""
        index, offset = self.road.locate(pose.x, pose.y, self._index)
        return Moment(pose.speed, offset, float(self._speeds_N[word][index]))

    def act(self, pose: Pose, word: str) -> Action:
        """What to do now, under a command."""
        manner, line = self.manner, self._lines[word]
        index, offset = self.road.locate(pose.x, pose.y, self._index)
        if abs(offset) > 3 * HALF_WIDTH:
            # Thrown far off, the nearest part of the road is the way back, whichever it is.
            index, offset = self.road.locate(pose.x, pose.y)
        self._index = index
        ahead = min(max(manner.ahead_seconds * pose.speed, manner.ahead_least), manner.ahead_most)
        x, y = line.ahead(index, ahead)
        bend = arc_to(pose, (float(x), float(y)))
        left = manner.steer_gain * math.atan(WHEELBASE * bend) + manner.yaw_gain * (
            bend * pose.speed - pose.yaw_rate
        )
        left = min(max(left, -MAX_STEER), MAX_STEER)
        wished = min(float(self._speeds_N[word][index]), math.sqrt(manner.arc_grip / max(abs(bend), 1e-9)))
        if abs(offset) > HALF_WIDTH:
            wished = min(wished, manner.speed_beside)
        lacking = wished - pose.speed
        # At rest under `stop`, the brake stays pressed.
        brake = MAX_BRAKE if not wished else min(-manner.brake_gain * lacking, MAX_BRAKE)
        room = 1 - manner.gas_for_steering * abs(left) - manner.slip_gas * abs(pose.slip)
        return Action.clipped(-left, min(manner.gas_gain * lacking, room), brake)
