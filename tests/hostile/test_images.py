"""Rogues among image files: each decodes, or is refused with its reason, in little time and memory."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from benchmarks.fuzz import fuzz_images
from models.config import ImagePreprocessing
from models.decode import decode_image
from models.errors import InputError, TooLargeError, UnsupportedMediaError
from models.image_guards import ImageLimits
from models.preprocess.image import ImagePreprocessor
from models.sample import Sample
from tests.hostile import corpus

ROOT = Path(__file__).resolve().parents[2]
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
    start = time.thread_time()
    with pytest.raises(TooLargeError, match="the limit is 50 megapixels"):
        decode_image(HUGE[name], side_px=SIDE_PX)
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_or_does_not_go_off(name: str) -> None:
    start = time.thread_time()
    try:
        pixels = decode_image(BOMBS[name], side_px=SIDE_PX)
    except InputError:
        assert name not in HARMLESS
    else:
        assert name in HARMLESS
        assert pixels.size < 1000
    assert time.thread_time() - start < LONGEST_SECONDS


@pytest.mark.parametrize("size", [(50_000_000, 1), (1, 50_000_000), (65_536, 700), (1, 65_536)])
@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_a_long_side_is_refused_before_a_pixel_is_decoded(form: str, size: tuple[int, int]) -> None:
    made = {"PNG": corpus.png, "BMP": corpus.bmp, "TIFF": corpus.tiff_image}[form](*size)
    start = time.thread_time()
    with pytest.raises(TooLargeError, match=r"no side may have more than 65,535\. Send a smaller image"):
        decode_image(made, side_px=SIDE_PX)
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize("size", [(65_535, 3), (3, 65_535)])
@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
def test_the_longest_side_is_prepared(resize: Literal["squash", "pad", "crop"], size: tuple[int, int]) -> None:
    pixels = decode_image(corpus.encode(Image.new("RGB", size, "red"), "PNG"), side_px=SIDE_PX)
    assert pixels.shape == (*reversed(size), 3)
    prepared = ImagePreprocessor(ImagePreprocessing(side_px=SIDE_PX, resize=resize)).prepare(Sample(image=pixels))
    assert prepared is not None
    assert prepared["pixels"][16, 16, 0] == 255  # red, or the white that it is padded with


def test_a_long_image_stands_in_memory_once_before_and_once_after() -> None:
    # As Pillow keeps it, 4 bytes a pixel; in RGB, 3; and a band of a million pixels in both, twice.
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from models.decode import decode_image\n"
        "data = sys.stdin.buffer.read()\n"
        "Path('/proc/self/clear_refs').write_text('5')\n"
        "def mb(key):\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1000\n"
        "before = mb('VmRSS')\n"
        "decode_image(data, side_px=224)\n"
        "print(mb('VmHWM') - before)"
    )
    data = corpus.encode(Image.new("RGB", (65_535, 448)), "PNG")
    done = subprocess.run([sys.executable, "-c", program], input=data, cwd=ROOT, capture_output=True, check=True)
    assert float(done.stdout) < 65_535 * 448 * 7 / 1e6 + 40


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
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_limits_hold_for_several_frames_too() -> None:
    frames = [Image.new("P", (50, 40), number) for number in range(30)]
    data = corpus.encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(data, side_px=SIDE_PX, limits=ImageLimits(max_pixels=2000)).shape == (40, 50, 3)
