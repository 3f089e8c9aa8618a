"""The modalities that come in files: what callers call them, and how they are sent. Decodes nothing."""

from typing import NamedTuple

from models.decode_audio import AudioLimits
from models.decode_sensors import SensorLimits
from models.image_guards import ImageLimits


class DecodeLimits(NamedTuple):
    """What is refused before an input is decoded, by modality."""

    image: ImageLimits = ImageLimits()
    audio: AudioLimits = AudioLimits()
    sensors: SensorLimits = SensorLimits()


class Media(NamedTuple):
    """A kind of file.

    media_type: as a bare body names it.
    noun: with its article. example: of a form, for curl.
    """

    media_type: str
    noun: str
    example: str


MEDIA = {
    "image": Media("image/*", "an image", "image=@photo.jpg"),
    "audio": Media("audio/*", "a recording", "audio=@speech.wav"),
}
"""By modality."""


def modality_of(media_type: str) -> str | None:
    """Which modality a body or a part of this type is, if it is a file of one: "audio/wav" is audio."""
    family = media_type.partition("/")[0].strip().lower()
    return family if family in MEDIA else None
