"""Bytes to pixels: the one place where an image file is opened, for training and serving alike.

Knows Pillow and its rogues; knows nothing of a network but the side that it wants."""

import ctypes
import functools
import importlib
import io
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import (  # all of FORMATS: with one missing, Pillow would load its forty others at the first image
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from models.errors import InputError, TooLargeError, UnsupportedMediaError
from models.image_guards import (
    MAX_RLE_PIXELS,
    PIECES_REMEDY,
    TIFF_MAGIC,
    CountedFile,
    ImageLimits,
    TooManyReadsError,
    check_jpeg,
    check_size,
    check_tiff,
    too_many_pixels,
    webp_size,
)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Accepted formats. Pillow enables some forty more, each one more decoder to attack."""

FORMAT_REMEDY = "Send JPEG, PNG, WebP, GIF, BMP or TIFF."

_PLUGINS = (BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)

TIFF_COMPRESSIONS = frozenset({
    "raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "jpeg", "tiff_ccitt", "group3", "group4"
})  # fmt: skip
"""Accepted in a TIFF. libtiff knows a dozen more, each with a decoder of its own (WebP, Zstandard, LZMA, LERC)."""

BROKEN = "is truncated or broken. Send the whole, intact file."

BAND_PIXELS = 1_000_000
"""Converted at once, so that a large image does not stand in memory four times."""


def decode_image(
    data: bytes, *, side_px: int, limits: ImageLimits | None = None, field: str = "image"
) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB: first frame, upright, composited onto white.

    What is at least four times as large as `side_px` on both sides is decoded at a fraction (JPEG's `draft`) or
    reduced by a whole factor, to no less than twice the side. That is faster, bounds the memory, and changes
    pixels slightly; so training must decode with the same `side_px` as serving.

    Raises:
        UnsupportedMediaError: not one of FORMATS.
        TooLargeError: more bytes or pixels than the limits allow, or a structure that is made to cost time.
        InputError: empty, truncated or broken data.
    """
    limits = limits or ImageLimits()
    if not data:
        raise InputError(field, "the file is empty. Send an image, or leave the field out.")
    if len(data) > limits.max_bytes:
        raise TooLargeError(field, f"{len(data):,} bytes; the limit is {limits.max_bytes:,}. Send a smaller file.")
    try:
        # Pillow warns of odd metadata and of sizes above its own limit; ours is checked below.
        with _QUIET, _open(data, limits, field) as image:
            check_size(image.size, limits, field)
            return _to_rgb(image, side_px)
    except InputError:
        raise
    except UnidentifiedImageError:
        if _MAGIC.match(data):
            raise InputError(field, f"the head of the file {BROKEN}") from None
        raise UnsupportedMediaError(field, f"not an image of an accepted format. {FORMAT_REMEDY}") from None
    except Image.DecompressionBombError:
        raise TooLargeError(field, too_many_pixels(limits)) from None
    except MemoryError:
        raise TooLargeError(field, "the image needs more memory than there is. Send a smaller image.") from None
    except TooManyReadsError:
        raise TooLargeError(field, f"the file consists of too many pieces. {PIECES_REMEDY}") from None
    except Exception as error:  # a broken file makes Pillow raise nearly anything
        raise InputError(field, f"{type(error).__name__}: the data {BROKEN}") from error


class _Quiet:
    """Silences warnings while any thread is inside; `warnings.catch_warnings` alone would leak between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._num_inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._num_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0:
                self._caught.__exit__(None, None, None)


_QUIET = _Quiet()
_MAGIC = re.compile(rb"\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|" + TIFF_MAGIC.pattern, re.DOTALL)


def _open(data: bytes, limits: ImageLimits, field: str) -> Image.Image:
    _silence()
    file = CountedFile(data)
    if data[:3] == b"\xff\xd8\xff":
        check_jpeg(data, field)
        # Not Image.open: of a phone's JPEG of several pictures, only the first is looked at.
        return JpegImagePlugin.JpegImageFile(file)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        # Pillow hands a WebP at once to libwebp, which takes memory for the whole canvas.
        check_size(webp_size(data), limits, field)
    if TIFF_MAGIC.match(data):
        check_tiff(data, field)
    image = Image.open(file, formats=FORMATS)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        compression = image.info.get("compression", "raw")
        if compression not in TIFF_COMPRESSIONS:
            raise UnsupportedMediaError(
                field, f"a TIFF compressed as {compression}. Save it with LZW or Deflate, or as PNG."
            )
    if image.format == "BMP" and any(tile.codec_name == "bmp_rle" for tile in image.tile):
        check_size(image.size, replace(limits, max_pixels=min(limits.max_pixels, MAX_RLE_PIXELS)), field)
    return image


@functools.cache
def _silence() -> None:
    """Keep Pillow from logging what is in a file, and libtiff from writing to stderr. The answer says it all."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        set_handler = ctypes.CDLL(importlib.import_module("PIL._imaging").__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):  # another build of Pillow: noise, no harm
        return
    set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
    set_handler(None)


def _to_rgb(image: Image.Image, side_px: int) -> NDArray[np.uint8]:
    if image.format == "JPEG":
        # Twice the side leaves the following bicubic resize enough to work with.
        image.draft("RGB", (2 * side_px, 2 * side_px))
    image.load()
    turn = _turn(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _narrow_grey(image)
    factor = max(1, min(image.size) // (2 * side_px))
    return np.ascontiguousarray(turn(_reduced(image, factor)))


def _reduced(image: Image.Image, factor: int) -> NDArray[np.uint8]:
    """The whole image in RGB, each side divided by `factor` and rounded up."""
    width, height = (-(-side // factor) for side in image.size)
    whole, top = np.empty((height, width, 3), dtype=np.uint8), 0
    for band in _bands(image, factor):  # put together at once, a long image would stand in memory twice
        whole[top : top + len(band)] = band
        top += len(band)
    return whole


def _bands(image: Image.Image, factor: int) -> Iterator[NDArray[np.uint8]]:
    """Convert an image from top to bottom, reduced by `factor`."""
    width, height = image.size
    rows = max(1, BAND_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        band = image if rows >= height else image.crop((0, top, width, min(top + rows, height)))
        rgb = _on_white(band)
        yield np.asarray(rgb.reduce(factor) if factor > 1 else rgb, dtype=np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    # Fully transparent pixels often hide garbage colours; white is what a shop's page shows behind them.
    rgba = image.convert("RGBA")
    canvas = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(canvas, rgba).convert("RGB")


def _narrow_grey(image: Image.Image) -> Image.Image:
    """Scale 16-bit and wider greys to 8 bits; Pillow's own conversion clips everything above 255 to white."""
    values = np.array(image, dtype=np.float32)
    np.nan_to_num(values, copy=False)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and 255 < high <= 65535):
        values /= 257  # 65535 = 255 * 257
    elif high > 255 or low < 0:
        # Each divided by itself: the difference of two huge floats is infinite.
        scale = max(abs(low), abs(high))
        values /= scale
        values -= low / scale
        values *= 255 / max(high / scale - low / scale, 1e-12)
    np.clip(np.rint(values, out=values), 0, 255, out=values)
    return Image.fromarray(values.astype(np.uint8))


Turn = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

# EXIF's orientations: where the stored first row and column belong.
_TURNS: dict[object, Turn] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}


def _turn(image: Image.Image) -> Turn:
    """What turns the image upright. Broken metadata does not spoil an intact image: it is left as it is."""
    try:
        # A TIFF has none left: Pillow turned it as it was loaded.
        return _TURNS.get(image.getexif().get(0x0112), _as_stored)
    except Exception:  # as for pixels, nearly anything may be raised
        return _as_stored


def _as_stored(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels


def media_type_of(data: bytes) -> str:
    """The media type of an image file that was decoded once, by its first bytes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Image.open(io.BytesIO(data), formats=FORMATS).get_format_mimetype()
    except Exception:  # Pillow raises whatever its plugins raise; what it cannot name is sent as bytes
        found = None
    return found or "application/octet-stream"
