"""What is to be transcribed, and how."""

import pytest

from app.fields import File, RawFields
from app.settings import Settings
from app.speech_payload import read_transcribe
from app.upload import Upload
from models.errors import InputError
from models.transcript import GREEDY, Decoding

SETTINGS = Settings()


def read(*, textual: bool = True, **fields: object) -> Decoding:
    values = {"audio": File("a.wav", Upload.of(b"wav")), **fields}
    request = read_transcribe(RawFields(values, textual=textual), SETTINGS)
    assert request.inputs.modalities == ("audio",)
    return request.decoding


def test_without_more_it_is_read_greedily() -> None:
    assert read() == GREEDY == Decoding(num_beams=1, num_alternatives=0)


def test_beams_and_alternatives_are_numbers_or_their_text() -> None:
    assert read(num_beams="64", alternatives="10") == Decoding(64, 10)
    assert read(num_beams=8, alternatives=2.0, textual=False) == Decoding(8, 2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_beams": "0"}, "num_beams: must be a whole number of at least 1 and at most 64"),
        ({"num_beams": "NaN"}, "num_beams"),
        ({"num_beams": "1e400"}, "num_beams"),
        ({"alternatives": "11"}, "alternatives: must be a whole number of at least 0 and at most 10"),
        ({"audio": None}, "audio: is missing. Send a recording"),
        ({"image": "x"}, "image: unknown field here"),
    ],
)
def test_a_fault_is_named(fields: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read(**fields)
