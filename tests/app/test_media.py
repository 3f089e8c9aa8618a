"""The modalities that come in files, and that a service without recordings needs nothing of theirs."""

import subprocess
import sys

import pytest

from app.media import MEDIA, modality_of
from app.settings import Settings
from models.config import MODALITIES


@pytest.mark.parametrize(
    ("media_type", "modality"),
    [
        ("image/png", "image"),
        ("IMAGE/PNG; q=1", "image"),
        ("audio/wav", "audio"),
        ("audio/x-wav", "audio"),
        ("audio/ogg; codecs=vorbis", "audio"),
        ("text/plain", None),
        ("application/json", None),
        ("images/png", None),
        ("", None),
    ],
)
def test_a_media_type_is_of_its_modality(media_type: str, modality: str | None) -> None:
    assert modality_of(media_type) == modality


def test_what_comes_in_files_is_a_modality_with_a_limit() -> None:
    assert set(MEDIA) <= set(MODALITIES)
    settings = Settings(max_image_bytes=2000, max_audio_bytes=3000)
    assert {name: settings.max_file_bytes(name) for name in MEDIA} == {"image": 2000, "audio": 3000}


def test_limits_of_decoding_come_from_the_settings() -> None:
    limits = Settings(max_image_pixels=7, max_audio_seconds=2.5, max_audio_channels=3).decode_limits
    assert limits.image.max_pixels == 7
    assert (limits.audio.max_seconds, limits.audio.max_channels) == (2.5, 3)


def test_a_service_without_recordings_loads_no_library_for_them() -> None:
    program = (
        "import sys; import app.main; from tests.fakes import make_predictor; from app.served import Model; "
        "Model(make_predictor()).warm_up(); "
        "print([name for name in ('soundfile', 'soxr', 'flashlight') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
