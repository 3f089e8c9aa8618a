"""What is refused of an image file before a pixel is decoded: too large, or built to cost time.

Reads headers and counts pieces, in time that grows with neither the pixels nor the pieces that it refuses."""

import io
import re
import struct
from dataclasses import dataclass

from models.errors import InputError, TooLargeError

MAX_SIDE_PX = 65_535
"""What JPEG and GIF can say. To resize a longer one costs memory and time that its pixels do not tell."""

PIECES_REMEDY = "Save it anew, and send that."

MAX_JPEG_SEGMENTS = 5000

MAX_JPEG_SCANS = 64
"""A progressive JPEG has some ten. Each costs a pass over all pixels, though it may be twenty bytes long."""

MAX_READS = 100_000
"""Reads of one file by a parser that is written in Python. 20 MB of PNG in chunks of 8 kB take 15,000."""

MAX_TIFF_TAGS = 1000

MAX_TIFF_STRIPS = 20_000
"""Strips or tiles of one TIFF: some 15 microseconds each, be they of one pixel."""

MAX_RLE_PIXELS = 4_000_000
"""Of a run-length encoded BMP, whose decoder is written in Python: 0.2 microseconds each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What is refused before any pixel is decoded."""

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000


class TooManyReadsError(Exception):
    """More reads than MAX_READS."""


class CountedFile(io.BytesIO):
    """Ends a parser that would spend minutes on a million empty chunks."""

    num_reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As usual, so many times."""
        self.num_reads += 1
        if self.num_reads > MAX_READS:
            raise TooManyReadsError
        return super().read(size)


TIFF_MAGIC = re.compile(rb"(II|MM)([*+]\0|\0[*+])")
_FIRST_PRIVATE_TAG = 0x8000
_TIFF_BYTES = (1, 2, 6, 7)
"""Types of tags that stay bytes: BYTE, ASCII, SBYTE, UNDEFINED."""
# No repetition: fill bytes (many FF before a marker) would make the search quadratic.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)


def check_jpeg(data: bytes, field: str) -> None:
    """Count the pieces of the first picture in a JPEG file, without thumbnails and what follows its end."""
    num_scans, position = 0, 2
    for _ in range(MAX_JPEG_SEGMENTS):
        found = _JPEG_MARKER.search(data, position)
        if found is None or found[1] == b"\xd9":  # end of image
            return
        num_scans += found[1] == b"\xda"  # start of scan
        if num_scans > MAX_JPEG_SCANS:
            raise TooLargeError(field, f"a JPEG of more than {MAX_JPEG_SCANS} scans. {PIECES_REMEDY}")
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    raise TooLargeError(field, f"a JPEG of more than {MAX_JPEG_SEGMENTS:,} segments. {PIECES_REMEDY}")


def check_tiff(data: bytes, field: str) -> None:
    """Count the tags of the first directory, and the numbers in each, which Pillow would unpack one by one."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2] == 43
    count, entry = (struct.Struct(order + code) for code in (("Q", "HHQQ") if is_big else ("H", "HHLL")))
    try:
        [at] = struct.unpack_from(order + ("Q" if is_big else "L"), data, 8 if is_big else 4)
        [num_tags] = count.unpack_from(data, at)
        if num_tags > MAX_TIFF_TAGS:
            raise TooLargeError(field, f"a TIFF of more than {MAX_TIFF_TAGS:,} tags. {PIECES_REMEDY}")
        for number in range(num_tags):
            tag, kind, num_values, _ = entry.unpack_from(data, at + count.size + number * entry.size)
            if num_values > MAX_TIFF_STRIPS and tag < _FIRST_PRIVATE_TAG and kind not in _TIFF_BYTES:
                raise TooLargeError(field, f"a TIFF of more than {MAX_TIFF_STRIPS:,} strips. {PIECES_REMEDY}")
    except (struct.error, OverflowError):  # cut short: Pillow will say so
        return


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas, by the first chunk (RFC 9649, 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return width, height


def check_size(size: tuple[int, int], limits: ImageLimits, field: str) -> None:
    """Refuse a (width, height) of no pixels, of more than the limit, or with a side that is too long."""
    width, height = size
    if width < 1 or height < 1:
        raise InputError(field, "the header gives a side of zero pixels. Send an intact image.")
    if width * height > limits.max_pixels:
        raise TooLargeError(field, f"{width} x {height} pixels; {too_many_pixels(limits)}")
    if max(size) > MAX_SIDE_PX:
        detail = f"{width} x {height} pixels; no side may have more than {MAX_SIDE_PX:,}. Send a smaller image."
        raise TooLargeError(field, detail)


def too_many_pixels(limits: ImageLimits) -> str:
    """The limit and the remedy, for a message."""
    return f"the limit is {limits.max_pixels / 1e6:g} megapixels. Send a smaller image."
