"""Drive by a service: what is seen, said and read goes out, what to do comes back; without a word to trust, brake.

Knows the wire's fields; knows no tracks."""

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from training.driving.client import Reply, Service
from training.driving.episode import Situation
from training.driving.simulator import Action

PNG_LEVEL = 1  # 0.4 ms and 4 KB a frame
REST_BRAKE = 0.05
"""A brake of less is none: a network that says almost nothing would drag the wheels all the way."""

PATIENCE = 5
"""Decisions in a row (0.2 s) that are doubted before the car brakes: one in a hundred is doubted by chance."""

FALLBACK_BRAKE = 0.4
FROZEN_DECISIONS = 3
"""Equal frames in a row while the wheels turn: the camera is taken to be dead, and its picture is not sent."""

MODALITIES = ("image", "words", "sensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a service is asked, and believed.

    spoken: the recordings to say commands with, by word; None writes them.
    without: what is not sent, of `MODALITIES`.
    from_tick: from when on.
    fallback: whether answers that are not to be trusted are braked upon.
    """

    spoken: Mapping[str, list[Path]] | None = None
    without: Collection[str] = ()
    from_tick: int = 0
    fallback: bool = True


@dataclass(slots=True)
class Pilot:
    """Asks a service for every decision of a drive."""

    service: Service
    manners: Manners = field(default_factory=Manners)
    seconds: list[float] = field(default_factory=list)
    doubted: int = 0
    failed: int = 0
    braked: int = 0
    _doubts: int = 0
    _frame: bytes = b""
    _equal: int = 0

    def __call__(self, situation: Situation) -> Action:
        """What to do."""
        fields, files = self._question(situation)
        reply = self.service.ask(fields, files)
        self.seconds.append(reply.seconds)
        if reply.status != 200:
            self.failed += 1
            self.braked += 1
            return Action(0.0, 0.0, FALLBACK_BRAKE)
        action = action_of(reply)
        trusted = bool(reply.content.get("trust", {}).get("ok", True))
        self.doubted += not trusted
        self._doubts = 0 if trusted else self._doubts + 1
        if self.manners.fallback and self._doubts >= PATIENCE:
            self.braked += 1
            return Action(action.steer, 0.0, max(action.brake, FALLBACK_BRAKE))
        return action

    def _question(self, situation: Situation) -> tuple[dict[str, Any], dict[str, bytes]]:
        manners = self.manners
        off = manners.without if situation.tick >= manners.from_tick else ()
        fields: dict[str, Any] = {"retrieve": False, "num_labels": 1}
        files: dict[str, bytes] = {}
        if "sensors" not in off:
            fields["sensors"] = situation.observation.sensors
        if "image" not in off:
            frame = png(situation)
            moving = abs(situation.observation.sensors["wheel_front_left"]) > 2
            self._equal = self._equal + 1 if moving and frame == self._frame else 0
            self._frame = frame
            if self._equal < FROZEN_DECISIONS:
                files["image"] = frame
        if "words" not in off:
            spell = situation.spell
            if manners.spoken is None:
                fields["text"] = spell.word
            else:
                # One command is one recording, as somebody said it.
                said = manners.spoken[spell.word]
                files["audio"] = said[spell.tick // 4 % len(said)].read_bytes()
        return fields, files


def png(situation: Situation) -> bytes:
    """The frame as a file."""
    buffer = io.BytesIO()
    Image.fromarray(situation.observation.frame).save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def action_of(reply: Reply) -> Action:
    """What an answer says to do. Gas and brake are never pressed together: the stronger one counts."""
    values = {name: float(found["value"]) for name, found in reply.content["values"].items()}
    gas, brake = values["gas"], values["brake"]
    if brake < max(REST_BRAKE, gas):
        brake = 0.0
    else:
        gas = 0.0
    return Action.clipped(values["steer"], gas, brake)
