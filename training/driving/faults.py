"""What breaks in the middle of a drive: cameras, sensors, and the way to the service.

Knows observations; knows no service and no tracks."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:  # --help names the faults, and needs no simulator
    from training.driving.simulator import Observation

Fault = Literal["frozen_camera", "dark_camera", "noisy_camera", "dead_sensors", "stuck_sensors", "late_answers"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

LATE_SECONDS = 1.0
"""What is added to an answer's time."""


class Broken:
    """Observations as they come from the moment on at which something broke."""

    def __init__(self, fault: Fault) -> None:
        self._change: Callable[[Observation], Observation] = {
            "frozen_camera": self._frozen,
            "dark_camera": _dark,
            "noisy_camera": self._noisy,
            "dead_sensors": _dead,
            "stuck_sensors": self._stuck,
            "late_answers": lambda observation: observation,
        }[fault]
        self.delay_seconds = LATE_SECONDS if fault == "late_answers" else 0.0
        self._first: Observation | None = None
        self._rng = np.random.default_rng(0)

    def __call__(self, observation: "Observation") -> "Observation":
        """What is seen and read of it."""
        self._first = self._first or observation
        return self._change(observation)

    def _frozen(self, observation: "Observation") -> "Observation":
        assert self._first is not None  # noqa: S101 - set by the call
        # A camera that hangs goes on sending its last picture.
        return replace(observation, frame=self._first.frame)

    def _noisy(self, observation: "Observation") -> "Observation":
        noise = self._rng.integers(0, 256, observation.frame.shape, dtype=np.uint8)
        return replace(observation, frame=noise)

    def _stuck(self, observation: "Observation") -> "Observation":
        assert self._first is not None  # noqa: S101 - set by the call
        return replace(observation, sensors=self._first.sensors)


def _dark(observation: "Observation") -> "Observation":
    return replace(observation, frame=np.zeros_like(observation.frame))


def _dead(observation: "Observation") -> "Observation":
    """A line that is torn off reads its end: 1e4, where no speed ever is."""
    return replace(observation, sensors=dict.fromkeys(observation.sensors, 1e4))
