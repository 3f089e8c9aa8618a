"""When not to trust an answer: what it lacks, what is out of range, what the model itself is unsure of.

The limits are in the checkpoint: some of the recipe's, some what validation rows had."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from models.config import Config
from models.familiarity import Familiar

Limits = dict[str, dict[str, float]]
"""By head and subset of the modalities."""


class TrustRules(Config):
    """What an answer is judged by."""

    needs: tuple[str, ...] = Field((), description="Modalities without which no answer is to be trusted.")
    familiar: tuple[str, ...] = Field(
        (), description="Modalities of which an input far from all validation rows is not to be trusted."
    )
    heads: tuple[str, ...] = Field(
        (), description="Heads whose uncertainty is a reason; empty: all. The others may be as unsure as they are."
    )
    share: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Of the validation rows, what share of a head's answers may be less sure than its limit.",
    )
    most_std: dict[str, float] = Field(
        default_factory=dict, description="By target, a limit of your own on its standard deviation, in its unit."
    )
    stds: Limits = Field(default_factory=dict, description="Largest deviations; training fills them in.")
    scores: Limits = Field(
        default_factory=dict, description="Least scores of the most probable label; training fills them in."
    )
    clouds: dict[str, Familiar] = Field(
        default_factory=dict, description="By modality, where validation rows lie; training fills them in."
    )


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason not to trust an answer.

    kind: `missing`, `out_of_range`, `unfamiliar` or `uncertain`.
    about: the modality, the channel, or the head.
    value, limit: of what is unfamiliar, a distance above its limit; of what is uncertain, a deviation above its
        limit, or a score below.
    """

    kind: Literal["missing", "out_of_range", "unfamiliar", "uncertain"]
    about: str
    value: float | None = None
    limit: float | None = None


def find_doubts(
    rules: TrustRules,
    subset: str,
    *,
    missing: tuple[str, ...],
    out_of_range: tuple[str, ...],
    distances: Mapping[str, float],
    stds: Mapping[str, float],
    scores: Mapping[str, float],
) -> tuple[Doubt, ...]:
    """Every reason not to trust an answer; none is a reason to.

    Args:
        rules: of the checkpoint.
        subset: the modalities that the answer rests on, by the name that calibration has.
        missing: modalities that were needed and not given.
        out_of_range: channels.
        distances: of the inputs that were given, by modality that has a cloud.
        stds: calibrated deviations, by target that has one.
        scores: of the most probable label, by head of a single label.
    """
    doubts = [Doubt("missing", name) for name in missing] + [Doubt("out_of_range", name) for name in out_of_range]
    for name, distance in distances.items():
        if distance > (limit := rules.clouds[name].limit):
            doubts.append(Doubt("unfamiliar", name, distance, limit))
    for head, std in stds.items():
        known = (rules.most_std.get(head), rules.stds.get(head, {}).get(subset))
        limits = [limit for limit in known if limit is not None]
        if limits and std > min(limits):
            doubts.append(Doubt("uncertain", head, std, min(limits)))
    for head, score in scores.items():
        least = rules.scores.get(head, {}).get(subset)
        if least is not None and score < least:
            doubts.append(Doubt("uncertain", head, score, least))
    return tuple(doubts)
