"""Drive by a service: what is seen, said and read goes out, what to do comes back; without a word to trust, brake.

Knows the wire's fields; knows no tracks."""

import io
from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from models.errors import ConfigError
from training.driving.client import CONTROLS, NO_ANSWER, Reply, Service
from training.driving.episode import Situation
from training.driving.faults import Broken, Fault
from training.driving.simulator import Action, Observation

PNG_LEVEL = 1  # 0.4 ms and 4 KB a frame
REST_BRAKE = 0.05
"""A brake of less is none: a network that says almost nothing would drag the wheels all the way."""

PATIENCE, LOOK_BACK = 5, 25
"""So many doubted answers among the last 25 (a second) make the car brake: some are doubted by chance, and not all
that a broken camera's pictures lead to are."""

FALLBACK_BRAKE = 0.4
LATEST_SECONDS = 0.2
"""An answer that took longer is of a road that the car has left behind: at 76 units/s it is 15 further on."""

GIVE_UP = 25
"""So many questions in a row, a second's, without any answer end the drive: the car stands, nobody is there."""

FROZEN_DECISIONS = 3
"""Equal frames, or readings, in a row while the wheels turn: what sends them hangs, and they are left out."""

MODALITIES = ("image", "words", "sensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a service is asked, and believed.

    spoken: the recordings to say commands with, by word; None writes them.
    without: what is not sent, of `MODALITIES`.
    fault: what breaks.
    from_tick: from when on that is so.
    fallback: whether answers that are not to be trusted, or come too late, are braked upon.
    """

    spoken: Mapping[str, list[Path]] | None = None
    without: Collection[str] = ()
    fault: Fault | None = None
    from_tick: int = 0
    fallback: bool = True

    @property
    def broken_from(self) -> int | None:
        """From which tick something is broken or switched off; None where nothing ever is."""
        return self.from_tick if self.without or self.fault else None


@dataclass(slots=True)
class Pilot:
    """Asks a service for every decision of a drive.

    reasons: why answers were doubted, and how often; one answer may have several.
    """

    service: Service
    manners: Manners = field(default_factory=Manners)
    seconds: list[float] = field(default_factory=list)
    doubted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    late: int = 0
    braked: int = 0
    _lost: int = 0
    _doubts: deque[bool] = field(default_factory=lambda: deque(maxlen=LOOK_BACK))
    _frame: bytes = b""
    _equal: int = 0
    _readings: Mapping[str, float] = field(default_factory=dict)
    _stuck: int = 0
    _broken: Broken | None = None

    def __call__(self, situation: Situation) -> Action:
        """What to do.

        Raises:
            ConfigError: the service has been gone for `GIVE_UP` questions.
        """
        if not situation.tick:  # another track, on which nothing is doubted yet
            self._doubts.clear()
        fields, files = self._question(situation)
        reply = self.service.ask(fields, files)
        self.seconds.append(reply.seconds)
        delay = 0.0 if self._broken is None else self._broken.delay_seconds
        late = reply.seconds + delay > LATEST_SECONDS
        self.late += late
        self._lost = self._lost + 1 if reply.status == NO_ANSWER else 0
        if self._lost >= GIVE_UP:
            detail = reply.content.get("detail", "")
            raise ConfigError(f"The service has not answered {GIVE_UP} times in a row ({detail}). Is it running?")
        action = action_of(reply)
        self.failed += action is None
        if action is None or (late and self.manners.fallback):
            self.braked += 1
            return Action(0.0, 0.0, FALLBACK_BRAKE)
        trust = reply.content.get("trust", {"ok": True, "reasons": []})
        trusted = bool(trust["ok"])
        self.doubted += not trusted
        self.reasons.update(f"{reason['kind']}: {reason['about']}" for reason in trust["reasons"])
        self._doubts.append(not trusted)
        if self.manners.fallback and sum(self._doubts) >= PATIENCE:
            self.braked += 1
            return Action(action.steer, 0.0, max(action.brake, FALLBACK_BRAKE))
        return action

    def figures(self) -> dict[str, Any]:
        """How it was answered."""
        return {
            "way": self.service.way,
            "asked": len(self.seconds),
            "failed": self.failed,
            "late": self.late,
            "doubted": self.doubted,
            "reasons": dict(self.reasons.most_common()),
            "braked": self.braked,
        }

    def _question(self, situation: Situation) -> tuple[dict[str, Any], dict[str, bytes]]:
        manners = self.manners
        later = situation.tick >= manners.from_tick
        off = manners.without if later else ()
        observation = self._observed(situation.observation, later=later)
        fields: dict[str, Any] = {"retrieve": False, "num_labels": 1}
        files: dict[str, bytes] = {}
        moving = abs(observation.sensors["wheel_front_left"]) > 2
        if "sensors" not in off:
            self._stuck = _equal_in_a_row(self._stuck, observation.sensors == self._readings, moving=moving)
            self._readings = observation.sensors
            if self._stuck < FROZEN_DECISIONS:
                fields["sensors"] = observation.sensors
        if "image" not in off:
            frame = png(observation)
            self._equal = _equal_in_a_row(self._equal, frame == self._frame, moving=moving)
            self._frame = frame
            plain = observation.frame.min() == observation.frame.max()
            if self._equal < FROZEN_DECISIONS and not plain:
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

    def _observed(self, observation: Observation, *, later: bool) -> Observation:
        if self.manners.fault is None or not later:
            self._broken = None  # of a track before
            return observation
        self._broken = self._broken or Broken(self.manners.fault)
        return self._broken(observation)


def _equal_in_a_row(count: int, equal: bool, *, moving: bool) -> int:
    """How often the same came again. A car that stands may see so; what hangs does until something else comes."""
    return count + 1 if equal and (moving or count >= FROZEN_DECISIONS) else 0


def png(observation: Observation) -> bytes:
    """The frame as a file."""
    buffer = io.BytesIO()
    Image.fromarray(observation.frame).save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def action_of(reply: Reply) -> Action | None:
    """What an answer says to do, if it is one. Gas and brake are never pressed together: the stronger counts."""
    if reply.status != 200:
        return None
    values = {name: reply.content["values"][name]["value"] for name in CONTROLS}
    if None in values.values():  # a network's NaN, which JSON has no word for
        return None
    gas, brake = values["gas"], values["brake"]
    if brake < max(REST_BRAKE, gas):
        brake = 0.0
    else:
        gas = 0.0
    return Action.clipped(values["steer"], gas, brake)
