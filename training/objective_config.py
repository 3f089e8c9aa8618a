"""What a recipe says of the weighted sum that is minimised. Knows no network and no data."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field

from models.config import Config
from models.manifest import Record

Weight = Annotated[float, Field(ge=0)]


class Unsaid(Config):
    """What is meant where nobody says it: some inputs decide what is right, and without them one thing holds.

    So a car that is told nothing drives on; it does not do the mean of all that it might have been told.
    """

    without: tuple[str, ...] = Field(min_length=1, description="Modalities that say it: text, audio.")
    means: dict[str, str] = Field(min_length=1, description="By column of labels, the label that then holds.")

    def rules_out(self, part: Collection[str], record: Record) -> bool:
        """Whether a row teaches nothing about a subset of the modalities: it holds where something was said."""
        return self.holds(part) and any(record.labels.get(head) != label for head, label in self.means.items())

    def holds(self, part: Collection[str]) -> bool:
        """Whether a subset of the modalities says nothing."""
        return set(self.without).isdisjoint(part)


class Objective(Config):
    """The weighted sum that is minimised."""

    heads: dict[str, Weight] = Field(
        default_factory=dict, description="Weight by column of labels or targets; 1 if absent."
    )
    subsets: dict[str, Weight] = Field(default_factory=dict, description="Weight by subset, e.g. image+text; 1.")
    unsaid: Unsaid | None = Field(
        None,
        description="Subsets without an input that decides what is right learn only from rows where this holds.",
    )
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="Of heads of a single label.")
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="balanced: rare labels weigh as much as frequent ones, within a factor of 10. The scores are "
        "then those of data where all labels are about as frequent.",
    )
    weighting: Literal["fixed", "uncertainty"] = Field(
        "fixed",
        description="uncertainty: each task learns a factor beside its weight (Kendall, Gal and Cipolla 2018).",
    )
    contrastive_kind: Literal["infonce", "sigmoid"] = Field(
        "infonce",
        description="infonce: find the partner among the batch (CLIP). sigmoid: tell of each pair whether it "
        "belongs together (SigLIP). Rows of an equal text or image are no negatives in either.",
    )
    contrastive_scale: float = Field(
        10.0,
        gt=0,
        le=100,
        description="What cosines are multiplied by at the start; short trainings stay near it.",
    )
    contrastive: float = Field(1.0, ge=0, description="Between modalities, both ways.")
    contrastive_fused: float = Field(0.3, ge=0, description="Between the fused vector and each modality.")
    transcript: float = Field(1.0, ge=0, description="What is said in a recording (CTC).")
    caption: float = Field(1.0, ge=0, description="What is written about an item, in stages.joint.")
    caption_smoothing: float = Field(0.1, ge=0, lt=1, description="Label smoothing of a caption's subwords.")
    captions_a_step: int = Field(
        1,
        ge=1,
        le=32,
        description="Captions of a row that a step learns, at most. They share the work of looking at the row.",
    )

    @property
    def matches(self) -> bool:
        """Whether anything learns what belongs together; else no cosine says how well a text fits an image."""
        return self.contrastive > 0 or self.contrastive_fused > 0
