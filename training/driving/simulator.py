"""CarRacing-v3, headless: frames, sensors, and what the car does. The one module that imports Gymnasium.

Knows the simulator; knows no commands and no driver. A tick is 1/50 s of simulated time."""

import math
import os
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.driving.road import Line

# Before pygame is loaded: it draws into memory, and greets nobody.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
with warnings.catch_warnings():
    # Box2D's wrapper warns while its C code is loaded; where warnings are errors, the process ends there.
    warnings.simplefilter("ignore")
    from gymnasium.envs.box2d.car_racing import CarRacing

TICKS_PER_SECOND = 50
MAX_TICKS = 1_000
"""Of an episode, as Gymnasium registers the environment: 20 s."""

FRAME_PX = 96
SLIP_SPEED = 5.0
"""Units/s below which nobody can say where the car goes."""

HOLD_TICKS = 2
"""How long an action is held: 25 decisions a second."""


class Action(NamedTuple):
    """What a driver does. The steering angle follows `steer` at 3 rad/s and ends at 0.4 rad either way."""

    steer: float  # -1 left to 1 right: the angle wished for, in radians
    gas: float  # 0 to 1
    brake: float  # 0 to 1; from 0.9 on the wheels lock

    @classmethod
    def clipped(cls, steer: float, gas: float, brake: float) -> "Action":
        """What the simulator would make of these numbers."""
        return cls(*(float(np.clip(value, low, 1)) for value, low in ((steer, -1), (gas, 0), (brake, 0))))


class Channel(NamedTuple):
    """A sensor: its unit, and the range that it is built for."""

    unit: str
    low: float
    high: float


SENSORS = {
    "speed": Channel("units/s", 0, 120),
    "wheel_front_left": Channel("rad/s", -50, 300),
    "wheel_front_right": Channel("rad/s", -50, 300),
    "wheel_rear_left": Channel("rad/s", -50, 300),
    "wheel_rear_right": Channel("rad/s", -50, 300),
    "steering_angle": Channel("rad", -0.5, 0.5),  # of the front wheels, positive to the left
    "yaw_rate": Channel("rad/s", -10, 10),  # positive to the left
}
"""By name. A unit of length is the simulator's, of which the car is 5 long."""

WHEELS = ("wheel_front_left", "wheel_front_right", "wheel_rear_left", "wheel_rear_right")


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the car is and how it moves, which an expert may know and a policy may not."""

    x: float
    y: float
    heading: float  # rad, of its nose, anticlockwise from the x axis
    speed: float  # units/s
    yaw_rate: float  # rad/s, positive to the left
    slip: float  # rad, from its nose to where it goes, positive to the left; 0 where it hardly moves


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What a policy knows after a tick: the frame (96, 96, 3) uint8, and readings by sensor."""

    frame: NDArray[np.uint8]
    sensors: dict[str, float]


class _Racing(CarRacing):  # type: ignore[misc]
    """Draws only when it is asked to: drawing takes 11 of a tick's 11.1 ms, and a held action needs one frame."""

    drawing = True

    def _render(self, mode: str) -> Any:
        if not self.drawing and mode == "state_pixels":
            return self.state
        return super()._render(mode)


class Simulator:
    """One car on one track at a time. Not for several threads."""

    def __init__(self, *, drawing: bool = True) -> None:
        """Make it.

        Args:
            drawing: without it frames are black, and a tick takes 0.1 ms.
        """
        self._env = _Racing()
        self._drawing = drawing
        self._env.state = np.zeros((FRAME_PX, FRAME_PX, 3), dtype=np.uint8)
        self.ticks = 0
        self.reward = 0.0  # so far: 1000 for all tiles, less 0.1 a tick, less 100 for leaving the field
        self.done, self.lap_finished = True, False

    def reset(self, seed: int) -> Observation:
        """A new track, which the seed decides, with the car standing at its start."""
        self._env.drawing = self._drawing
        self._env.reset(seed=seed)
        self.ticks, self.done, self.lap_finished, self.reward = 0, False, False, 0.0
        self.road = Line(np.array([point[2:4] for point in self._env.track], dtype=np.float64))
        return self.observation

    def step(self, action: Action, ticks: int = HOLD_TICKS, *, draw: bool = True) -> Observation:
        """Hold an action for some ticks, or until the episode ends.

        Returns:
            The last tick's; with `draw` off, or where the episode ended before, its frame is an older one.
        """
        values = np.array(action, dtype=np.float64)
        for tick in range(ticks):
            self._env.drawing = self._drawing and draw and tick == ticks - 1
            _, gained, terminated, _, info = self._env.step(values)
            self.ticks += 1
            self.reward += gained
            self.lap_finished = bool(info.get("lap_finished", False))
            if terminated or self.ticks >= MAX_TICKS:
                self.done = True
                break
        return self.observation

    @property
    def observation(self) -> Observation:
        """Of now."""
        return Observation(self._env.state, self.sensors)

    @property
    def sensors(self) -> dict[str, float]:
        """The readings, by the names of `SENSORS`, to the four decimals that the world's noise leaves."""
        car = self._env.car
        assert car is not None  # noqa: S101 - reset made it
        wheels = {name: wheel.omega for name, wheel in zip(WHEELS, car.wheels, strict=True)}
        found = {
            "speed": car.hull.linearVelocity.length,
            **wheels,
            "steering_angle": car.wheels[0].joint.angle,
            "yaw_rate": car.hull.angularVelocity,
        }
        return {name: round(float(value), 4) for name, value in found.items()}

    @property
    def pose(self) -> Pose:
        """Of the car's hull."""
        car = self._env.car
        assert car is not None  # noqa: S101 - reset made it
        hull = car.hull
        (x, y), (vx, vy), speed = hull.position, hull.linearVelocity, float(hull.linearVelocity.length)
        # A car's angle is 0 where its nose points along the y axis.
        heading = float(hull.angle) + math.pi / 2
        slip = math.remainder(math.atan2(vy, vx) - heading, math.tau) if speed > SLIP_SPEED else 0.0
        return Pose(float(x), float(y), heading, speed, float(hull.angularVelocity), slip)

    def close(self) -> None:
        """Give back what pygame holds."""
        self._env.close()
