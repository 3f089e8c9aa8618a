"""What pushes a car off its line while it is recorded, so that the expert's way back is seen too.

After Laskey et al. 2017 (DART): noise goes into what is done, never into what is recorded as the expert's wish."""

import math
from random import Random

from training.driving.simulator import Action

DRIFT = 0.05  # rad: deviation of a steering error that comes and goes
MEMORY = 0.85  # of that error, from one decision to the next
PUSH_CHANCE = 0.02  # a decision: one in two seconds
PUSH_DECISIONS = (4, 9)  # how long: 0.16 to 0.36 s
PUSH_STEER = (0.1, 0.4)  # rad
PUSH_GAS = 0.5


class Disturbance:
    """Changes actions at random: a drifting error, and now and then a push to one side."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._error = 0.0
        self._push = (0.0, 0.0)
        self._left = 0

    def __call__(self, action: Action) -> Action:
        """What is done in place of an action."""
        rng = self._rng
        self._error = MEMORY * self._error + math.sqrt(1 - MEMORY**2) * rng.gauss(0, DRIFT)
        if not self._left and rng.random() < PUSH_CHANCE:
            self._left = rng.randint(*PUSH_DECISIONS)
            self._push = (rng.choice((-1, 1)) * rng.uniform(*PUSH_STEER), rng.uniform(-PUSH_GAS, PUSH_GAS))
        steer, gas = self._push if self._left else (0.0, 0.0)
        self._left = max(0, self._left - 1)
        return Action.clipped(action.steer + self._error + steer, action.gas + gas, action.brake)
