"""Rogues among image files: each decodes, or is refused with its reason, in little time and memory."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.fuzz import fuzz_images
from models.decode import decode_image
from models.errors import InputError, TooLargeError, UnsupportedMediaError
from models.image_guards import ImageLimits
from tests.hostile import corpus

SIDE_PX = 32
LONGEST_SECONDS = 4.0
"""What must take less than two alone; a busy machine may double it."""

INTACT = corpus.intact()
HUGE = corpus.huge_headers()
BOMBS = corpus.bombs(2_000_000)
HARMLESS = {
    "PNG pixels", "TIFF Deflate", "WEBP of chunks", "PNG of Exif tags", "WEBP of Exif tags",
    "TIFF of Exif tags",
}  # fmt: skip
"""Bombs of which only the wick is looked at."""


@pytest.mark.parametrize("name", INTACT)
def test_every_format_and_mode_decodes(name: str) -> None:
    height, width, channels = decode_image(INTACT[name], side_px=SIDE_PX).shape
    assert {height, width} == {30, 40}
    assert channels == 3


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_header_is_refused_before_a_pixel_is_decoded(name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(TooLargeError, match="the limit is 50 megapixels"):
        decode_image(HUGE[name], side_px=SIDE_PX)
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_or_does_not_go_off(name: str) -> None:
    start = time.perf_counter()
    try:
        pixels = decode_image(BOMBS[name], side_px=SIDE_PX)
    except InputError:
        assert name not in HARMLESS
    else:
        assert name in HARMLESS
        assert pixels.size < 1000
    assert time.perf_counter() - start < LONGEST_SECONDS


def test_sixty_scans_are_still_an_image_and_sixty_five_are_not() -> None:
    assert decode_image(corpus.jpeg_of_scans(60, 80, 60), side_px=SIDE_PX).shape == (60, 80, 3)
    with pytest.raises(TooLargeError, match="more than 64 scans"):
        decode_image(corpus.jpeg_of_scans(65, 80, 60), side_px=SIDE_PX)


@pytest.mark.parametrize("compression", ["zstd", "lzma", "webp"])
def test_a_tiff_with_a_codec_that_is_not_listed_is_unsupported(compression: str) -> None:
    try:
        data = corpus.encode(corpus.picture("RGB"), "TIFF", compression=compression)
    except (OSError, RuntimeError, KeyError):
        pytest.skip("this Pillow cannot write it")
    with pytest.raises(UnsupportedMediaError, match="Save it with LZW or Deflate"):
        decode_image(data, side_px=SIDE_PX)


def test_broken_exif_does_not_spoil_an_intact_image() -> None:
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1" * 40):
        data = corpus.encode(corpus.picture("RGB"), "JPEG", exif=exif)
        assert decode_image(data, side_px=SIDE_PX).shape == (30, 40, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16"])
def test_a_large_image_is_reduced_band_by_band_to_the_same_picture(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = corpus.encode(corpus.picture(mode, 900, 700), "PNG")
    whole = decode_image(data, side_px=SIDE_PX)
    assert whole.shape == (70, 90, 3)  # by ten: 700 // (2 * 32)
    monkeypatch.setattr("models.decode.BAND_PIXELS", 20_000)
    assert (decode_image(data, side_px=SIDE_PX) == whole).all()


def test_the_head_of_a_file_alone_is_called_broken_and_not_unknown() -> None:
    with pytest.raises(InputError, match="truncated or broken") as caught:
        decode_image(INTACT["PNG RGB 5"][:20], side_px=SIDE_PX)
    assert not isinstance(caught.value, UnsupportedMediaError)


def test_ten_thousand_damaged_images_raise_only_input_errors() -> None:
    outcome = fuzz_images(int(os.environ.get("FUZZ_IMAGES", "10000")))
    assert outcome.failures == []
    assert outcome.slowest[0] < LONGEST_SECONDS, outcome.slowest
    assert outcome.end_mb - outcome.warm_mb < 100  # one image of 50 megapixels leaves some 30 in Pillow's arena


def test_nothing_is_written_to_stderr_or_logged_for_what_is_broken() -> None:
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from benchmarks.fuzz import fuzz_bodies, fuzz_images\n"
        "assert not fuzz_images(1500).failures + fuzz_bodies(1500).failures"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_limits_hold_for_several_frames_too() -> None:
    frames = [Image.new("P", (50, 40), number) for number in range(30)]
    data = corpus.encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(data, side_px=SIDE_PX, limits=ImageLimits(max_pixels=2000)).shape == (40, 50, 3)
