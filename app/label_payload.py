"""Raw fields of /classify to a checked request."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.fields import FieldReader, RawFields
from app.payload import MODALITY_FIELDS, Inputs, read_inputs, required
from app.settings import Settings
from models.errors import InputError, TooLargeError

MAX_LABELS = 1000
MAX_LABEL_CHARACTERS = 500
CLASSIFY_FIELDS = (*MODALITY_FIELDS, "labels", "template", "temperature", "model")
DEFAULT_TEMPERATURE = 0.1
"""What a recipe's contrastive_scale of 10 is; short trainings stay near it, and a checkpoint does not keep it."""

LEAST_TEMPERATURE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRequest:
    """A checked request of /classify."""

    inputs: Inputs
    labels: Sequence[str]
    template: str = "{}"
    temperature: float = DEFAULT_TEMPERATURE
    model: str | None = None


def read_classify(fields: RawFields, settings: Settings) -> ClassifyRequest:
    """Check the fields of /classify. Raises InputError."""
    reader = FieldReader(fields, CLASSIFY_FIELDS, settings)
    template = reader.text("template") or "{}"
    if template.count("{}") != 1 or len(template) > MAX_LABEL_CHARACTERS:
        raise InputError(
            "template", f'must have {{}} once, and at most {MAX_LABEL_CHARACTERS} characters: "a photo of {{}}".'
        )
    temperature = reader.number("temperature", DEFAULT_TEMPERATURE)
    if not LEAST_TEMPERATURE <= temperature <= 100:
        raise InputError("temperature", f"must be at least {LEAST_TEMPERATURE} and at most 100.")
    return ClassifyRequest(
        inputs=required(read_inputs(reader)),
        labels=_labels(reader),
        template=template,
        temperature=temperature,
        model=reader.text("model"),
    )


def _labels(reader: FieldReader) -> list[str]:
    labels = reader.json("labels")
    if not isinstance(labels, list) or len(labels) < 2:
        raise InputError("labels", 'must be a list of at least two strings, such as ["shoe", "dress"].')
    if len(labels) > MAX_LABELS:
        raise TooLargeError("labels", f"{len(labels):,} labels; the limit is {MAX_LABELS:,}. Send fewer.")
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            raise InputError("labels", "each must be a string that is not empty.")
        if len(label) > MAX_LABEL_CHARACTERS:
            raise TooLargeError(
                "labels", f"{len(label):,} characters in one; the limit is {MAX_LABEL_CHARACTERS}."
            )
    if len(set(labels)) < len(labels):
        raise InputError("labels", "one is there twice. Send each once.")
    return labels
