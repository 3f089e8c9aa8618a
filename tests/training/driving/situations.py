"""Situations, and a service whose answers can be seen to come from what it was asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.driving.client import Reply
from training.driving.commands import Spell
from training.driving.episode import Situation
from training.driving.simulator import FRAME_PX, SENSORS, Action, Observation


def plain_situation(**sensors: float) -> Situation:
    """The camera sees nothing but black."""
    found = situation(**sensors)
    return found._replace(
        observation=Observation(np.zeros_like(found.observation.frame), found.observation.sensors)
    )


def situation(*, tick: int = 0, shade: int = 0, word: str = "go", **sensors: float) -> Situation:
    """A frame of one shade but for a corner, and readings that are 0 where they are not given."""
    frame = np.full((FRAME_PX, FRAME_PX, 3), shade, dtype=np.uint8)
    frame[0, 0] = 255
    observation = Observation(frame, dict.fromkeys(SENSORS, 0.0) | sensors)
    return Situation(tick, Spell(tick - tick % 100, word), observation, Action(0, 0, 0))


@dataclass
class EchoService:
    """Steers by the yaw rate that it is told, gas 0.5; keeps what it was asked."""

    way: str = "nowhere"
    status: int = 200
    trusted: bool = True
    brake: float | None = 0.0
    asked: list[tuple[dict[str, Any], dict[str, bytes]]] = field(default_factory=list)

    def ask(self, fields: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply:
        self.asked.append((dict(fields), dict(files)))
        if self.status != 200:
            return Reply(self.status, {"status": self.status}, 0.01)
        steer = fields.get("sensors", {}).get("yaw_rate", 0.0)
        values = {"steer": steer, "gas": 0.5, "brake": self.brake}
        content = {"values": {name: {"value": value} for name, value in values.items()}}
        return Reply(200, {**content, "trust": {"ok": self.trusted, "reasons": []}}, 0.01)

    def close(self) -> None:
        pass
