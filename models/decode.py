"""Bytes to pixels: the one place where an image file is opened, for training and serving alike.

Knows Pillow and its rogues; knows nothing of a network but the side that it wants."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import InputError, TooLargeError, UnsupportedMediaError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Accepted formats. Pillow enables some forty more, each one more decoder to attack."""

FORMAT_REMEDY = "Send JPEG, PNG, WebP, GIF, BMP or TIFF."


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What is refused before any pixel is decoded."""

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000


def decode_image(
    data: bytes, *, side_px: int, limits: ImageLimits | None = None, field: str = "image"
) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB: first frame, upright, composited onto white.

    A JPEG much larger than `side_px` is decoded at an eighth, a quarter or half of its size (`draft`), which is
    2.5 times as fast and changes pixels slightly; so training must decode with the same `side_px` as serving.

    Raises:
        UnsupportedMediaError: not one of FORMATS.
        TooLargeError: more bytes or pixels than the limits allow.
        InputError: empty, truncated or broken data.
    """
    limits = limits or ImageLimits()
    if not data:
        raise InputError(field, "the file is empty. Send an image, or leave the field out.")
    if len(data) > limits.max_bytes:
        raise TooLargeError(field, f"{len(data):,} bytes; the limit is {limits.max_bytes:,}. Send a smaller file.")
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of sizes above its own limit; ours is checked below.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image, limits, field)
                return _to_rgb(image, side_px)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise UnsupportedMediaError(field, f"not an image of an accepted format. {FORMAT_REMEDY}") from None
    except Image.DecompressionBombError:
        raise TooLargeError(field, _too_many_pixels(limits)) from None
    except MemoryError:
        raise TooLargeError(field, "the image needs more memory than there is. Send a smaller image.") from None
    except Exception as error:  # a broken file makes Pillow raise nearly anything
        reason = f"{type(error).__name__}: the data is truncated or broken. Send the whole, intact file."
        raise InputError(field, reason) from error


def _check_size(image: Image.Image, limits: ImageLimits, field: str) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(field, "the header gives a side of zero pixels. Send an intact image.")
    if width * height > limits.max_pixels:
        raise TooLargeError(field, f"{width} x {height} pixels; {_too_many_pixels(limits)}")


def _too_many_pixels(limits: ImageLimits) -> str:
    return f"the limit is {limits.max_pixels / 1e6:g} megapixels. Send a smaller image."


def _to_rgb(image: Image.Image, side_px: int) -> NDArray[np.uint8]:
    if image.format == "JPEG":
        # Twice the side leaves the following bicubic resize enough to work with.
        image.draft("RGB", (2 * side_px, 2 * side_px))
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        return _from_wide_grey(upright)
    if upright.has_transparency_data:
        # Fully transparent pixels often hide garbage colours; white is what a shop's page shows behind them.
        rgba = upright.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(canvas, rgba)
    return np.asarray(upright.convert("RGB"), dtype=np.uint8)


def _from_wide_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Scale 16-bit and wider greys to 8 bits; Pillow's own conversion clips everything above 255 to white."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    if image.mode.startswith("I;16") or (image.mode == "I" and 255 < values.max() <= 65535):
        values = values / 257.0  # 65535 = 255 * 257
    elif values.max(initial=0.0) > 255 or values.min(initial=0.0) < 0:
        low, high = values.min(), values.max()
        values = (values - low) * (255.0 / max(high - low, 1e-12))
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
