"""Raw fields to what is to be transcribed, and how."""

from dataclasses import dataclass

from app.fields import FieldReader, RawFields
from app.payload import Inputs
from app.settings import Settings
from models.errors import InputError
from models.transcript import Decoding

MAX_BEAMS = 64
MAX_ALTERNATIVES = 10
TRANSCRIBE_FIELDS = ("audio", "num_beams", "alternatives", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeRequest:
    """A checked request of /transcribe; model: by name, None where any that transcribes will do."""

    inputs: Inputs
    decoding: Decoding
    model: str | None = None


def read_transcribe(fields: RawFields, settings: Settings) -> TranscribeRequest:
    """Check the fields of /transcribe.

    Raises:
        InputError: an unknown field, a faulty value, or no recording.
    """
    reader = FieldReader(fields, TRANSCRIBE_FIELDS, settings)
    audio = reader.file("audio")
    if audio is None:
        raise InputError("audio", "is missing. Send a recording.")
    return TranscribeRequest(
        inputs=Inputs(audio=audio),
        decoding=Decoding(
            num_beams=reader.integer("num_beams", 1, least=1, most=MAX_BEAMS),
            num_alternatives=reader.integer("alternatives", 0, least=0, most=MAX_ALTERNATIVES),
        ),
        model=reader.text("model"),
    )
