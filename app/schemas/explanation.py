"""What an answer rests on, head by head."""

from typing import Any

from pydantic import BaseModel, Field

from app.schemas.common import is_none, six_digits
from models.config import NetworkConfig
from models.explainer import Explanation, Subject, Weighed


class ImageMap(BaseModel):
    """What each part of the image adds; positive speaks for the label."""

    rows: int
    columns: int
    values: list[list[float]] = Field(description="By row from the top, each from the left.")
    box: tuple[float, float, float, float] = Field(
        description="Left, top, right and bottom of the map in shares of the upright image's sides; beyond 0 and "
        "1 it is padding."
    )


class WeighedWord(BaseModel):
    """A piece of the text, and what it adds."""

    text: str
    start: int = Field(description="Its first character, counted in Unicode code points.")
    end: int = Field(description="Behind its last one.")
    weight: float


class HeadExplanation(BaseModel):
    """What one head's first label, or its number, rests on."""

    label: str | None = Field(None, exclude_if=is_none, description="Left out for a head that gives a number.")
    base: float = Field(description="Before anything is seen: all labels alike, or the training rows' mean.")
    contributions: dict[str, float] = Field(
        description="What each modality adds (Shapley). With `base` they sum to the score, or the number."
    )
    image_map: ImageMap | None = Field(None, exclude_if=is_none, description="Where there is an image.")
    tokens: list[WeighedWord] | None = Field(None, exclude_if=is_none, description="Where there is a text.")


def explanation_json(explanation: Explanation, network: NetworkConfig) -> dict[str, Any]:
    """By head, what `HeadExplanation` describes, as plain objects."""
    return {head.quantity.head: _head(head, explanation.subject, network) for head in explanation.heads}


def _head(head: Weighed, subject: Subject, network: NetworkConfig) -> dict[str, Any]:
    name, label, base = head.quantity
    # Of probabilities six decimals are what float32 has to say; a number may be in any unit.
    short = six_digits if label is None else _six_decimals
    found: dict[str, Any] = {} if label is None else {"label": network.classes[name].labels[label]}
    found["base"] = short(base)
    found["contributions"] = {modality: short(added) for modality, added in head.contributions.items()}
    if head.cells is not None:
        rows, columns = head.cells.shape
        values = [[short(value) for value in row] for row in head.cells.tolist()]
        found["image_map"] = {"rows": rows, "columns": columns, "values": values, "box": subject.box}
    if head.words is not None:
        found["tokens"] = [
            {"text": subject.text[start:end], "start": start, "end": end, "weight": short(weight)}
            for (start, end, _), weight in zip(subject.words, head.words.tolist(), strict=True)
        ]
    return found


def _six_decimals(number: float) -> float:
    return round(number, 6)
