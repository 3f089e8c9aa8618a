"""Raw fields to a text that is to be written, and how."""

from dataclasses import dataclass
from typing import Any

from app.fields import FieldReader, RawFields
from app.payload import Inputs
from app.settings import Settings
from models.errors import InputError, TooLargeError

MAX_STOP_CHARACTERS = 100
MAX_TEMPERATURE = 5
MAX_SEED = 2**53 - 1
"""What every reader of JSON keeps whole."""

WRITING_FIELDS = ("max_tokens", "num_beams", "temperature", "top_p", "seed", "stop")
GENERATE_FIELDS = ("image", "text", *WRITING_FIELDS, "stream", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """A checked request of /generate.

    inputs: the image, the text that is continued, or both.
    writing: by field of `Writing`, what was said about it.
    stream: None where the request does not say.
    model: by name, None where any that writes will do.
    """

    inputs: Inputs
    writing: dict[str, Any]
    stream: bool | None = None
    model: str | None = None


def read_generate(fields: RawFields, settings: Settings) -> GenerateRequest:
    """Check the fields of /generate.

    Raises:
        InputError: an unknown field, a faulty value, two that contradict one another, or nothing to write about.
        TooLargeError: too many stops, or too long ones.
    """
    reader = FieldReader(fields, GENERATE_FIELDS, settings)
    inputs = Inputs(image=reader.file("image"), text=reader.text("text"))
    if inputs == Inputs():
        raise InputError("image or text", "nothing to write about. Send an image, a text to continue, or both.")
    stream = reader.boolean("stream", default=False) if "stream" in fields.values else None
    return GenerateRequest(
        inputs=inputs, writing=_writing(reader, settings), stream=stream, model=reader.text("model")
    )


def _writing(reader: FieldReader, settings: Settings) -> dict[str, Any]:
    writing: dict[str, Any] = {
        "max_tokens": reader.integer("max_tokens", 0, least=1, most=settings.max_generated_tokens) or None,
        "num_beams": reader.integer("num_beams", 0, least=1, most=settings.max_generation_beams) or None,
        "temperature": _within(reader, "temperature", 0, MAX_TEMPERATURE),
        "top_p": _within(reader, "top_p", 0, 1),
        "seed": reader.integer("seed", -1, least=0, most=MAX_SEED),
        "stop": _stop(reader, settings),
    }
    if writing["seed"] == -1:
        writing["seed"] = None
    temperature, top_p, beams = writing["temperature"], writing["top_p"], writing["num_beams"]
    if top_p == 0:
        raise InputError("top_p", "must be more than 0 and at most 1. For the likeliest token, leave it out.")
    if temperature and beams and beams > 1:
        raise InputError(
            "temperature", "does not go with num_beams above 1: beams draw no lots. Send one of them."
        )
    if top_p is not None and top_p < 1 and not temperature:
        raise InputError("top_p", "has no effect without a temperature above 0. Send one, such as 0.7, too.")
    return {name: value for name, value in writing.items() if value is not None}


def _within(reader: FieldReader, name: str, least: float, most: float) -> float | None:
    if reader.json(name) is None:
        return None
    value = reader.number(name, 0.0)
    if not least <= value <= most:  # NaN, which a query may hold, is not
        raise InputError(name, f"must be a number of at least {least:g} and at most {most:g}.")
    return value


def _stop(reader: FieldReader, settings: Settings) -> tuple[str, ...] | None:
    value = reader.strings("stop")
    if value is None:
        return None
    if len(value) > (limit := settings.max_stop_strings):
        raise TooLargeError("stop", f"{len(value):,} strings; the limit is {limit}. Send fewer.")
    if any(not part for part in value):
        raise InputError("stop", "each must be a string that is not empty.")
    if (longest := max(map(len, value), default=0)) > MAX_STOP_CHARACTERS:
        raise TooLargeError("stop", f"{longest:,} characters in one; the limit is {MAX_STOP_CHARACTERS}.")
    return tuple(value) or None
