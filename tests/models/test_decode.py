import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.decode import decode_image
from models.errors import InputError, TooLargeError, UnsupportedMediaError
from models.image_guards import ImageLimits
from tests.tiny import image_file, picture

SIDE_PX = 64
LOSSY = {"JPEG": 6, "WEBP": 12}
"""How far a flat colour may move in a file of this format."""


def decode(data: bytes, limits: ImageLimits | None = None) -> np.ndarray:
    return decode_image(data, side_px=SIDE_PX, limits=limits)


def png_header(width: int, height: int) -> bytes:
    """A PNG file that ends where its pixels would begin."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_each_accepted_format_is_decoded_to_rgb(form: str) -> None:
    pixels = decode(image_file(Image.new("RGB", (6, 4), (200, 100, 50)), form))
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= LOSSY.get(form, 0)


@pytest.mark.parametrize("form", ["ICO", "PPM", "TGA", "PCX", "PDF", "EPS"])
def test_formats_that_pillow_knows_but_we_do_not_accept_are_unsupported(form: str) -> None:
    with pytest.raises(UnsupportedMediaError, match=r"Send JPEG, PNG, WebP, GIF, BMP or TIFF\."):
        decode(image_file(Image.new("RGB", (32, 32)), form))


@pytest.mark.parametrize("text", [b"a red shoe, photographed from the left", b"<svg xmlns=''></svg>", b"\xff\xd8"])
def test_text_that_is_called_an_image_is_unsupported(text: bytes) -> None:
    with pytest.raises(UnsupportedMediaError):
        decode(text)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_single_pixel_is_an_image(form: str) -> None:
    assert decode(image_file(Image.new("RGB", (1, 1), "white"), form)).shape == (1, 1, 3)


def test_an_empty_file_is_an_input_error() -> None:
    with pytest.raises(InputError, match="empty"):
        decode(b"")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_half_a_file_is_an_input_error_that_says_so(form: str) -> None:
    whole = image_file(picture(0, 90, 70), form)
    with pytest.raises(InputError, match="truncated or broken"):
        decode(whole[: len(whole) // 2])


def test_the_error_names_the_field() -> None:
    with pytest.raises(InputError, match=r"^items\.3\.image: "):
        decode_image(b"", side_px=SIDE_PX, field="items.3.image")


UPRIGHT = np.array(
    [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]], [[99, 0, 0], [0, 99, 0]]], dtype=np.uint8
)
TURNED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),
    6: np.rot90(UPRIGHT, -1),  # a quarter turn clockwise
    7: UPRIGHT.swapaxes(0, 1)[::-1, ::-1],
    8: np.rot90(UPRIGHT),
}


@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation_is_undone(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(image_file(UPRIGHT, exif=exif)), TURNED[orientation])


def test_exif_orientation_is_undone_in_a_large_jpeg_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((800, 1600, 3), dtype=np.uint8)
    stored[:, :800] = (255, 0, 0)  # the left half comes to the top
    pixels = decode(image_file(stored, "JPEG", exif=exif))
    assert pixels.shape == (1600 // 4, 800 // 4, 3)
    assert pixels[10, 50, 0] > 250
    assert pixels[-10, 50, 0] < 5


def test_colours_hidden_under_full_transparency_become_white() -> None:
    image = np.array([[[255, 0, 255, 0], [10, 20, 30, 255]]], dtype=np.uint8)
    np.testing.assert_array_equal(decode(image_file(image)), [[[255, 255, 255], [10, 20, 30]]])


def test_half_transparent_black_on_white_is_grey() -> None:
    image = np.array([[[0, 0, 0, 128]]], dtype=np.uint8)
    np.testing.assert_array_equal(decode(image_file(image)), [[[127, 127, 127]]])  # 255 * (1 - 128 / 255)


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_transparent_palette_entry_becomes_white(form: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 255, 0, 0, 200])
    image.putpixel((1, 0), 1)
    pixels = decode(image_file(image, form, transparency=0))
    np.testing.assert_array_equal(pixels, [[[255, 255, 255], [0, 0, 200]]])


def test_grey_with_alpha_is_put_on_white() -> None:
    image = Image.new("LA", (1, 1), (7, 0))
    np.testing.assert_array_equal(decode(image_file(image)), [[[255, 255, 255]]])


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(form: str) -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)  # 65535 = 255 * 257
    np.testing.assert_array_equal(decode(image_file(values, form))[0, :, 1], [0, 1, 128, 255])


def test_floats_beyond_a_byte_are_stretched() -> None:
    values = np.array([[-1.0, 0.0, 1.0, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(decode(image_file(values, "TIFF"))[0, :, 0], [0, 128, 255, 128])


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(form: str) -> None:
    pixels = decode(image_file(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), form))
    assert np.abs(pixels[8, 8].astype(int) - (255, 0, 0)).max() <= LOSSY.get(form, 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "LAB"])
def test_other_modes_become_rgb(mode: str) -> None:
    assert decode(image_file(Image.new(mode, (3, 2)), "TIFF" if mode in ("YCbCr", "LAB") else "PNG")).shape == (
        2,
        3,
        3,
    )


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several_is_taken(form: str) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    extra = {"lossless": True} if form == "WEBP" else {}
    pixels = decode(image_file(first, form, save_all=True, append_images=[second], **extra))
    np.testing.assert_array_equal(pixels[4, 4], (255, 0, 0))


def test_a_phone_s_jpeg_of_two_pictures_gives_the_first() -> None:
    first, second = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    assert decode(image_file(first, "MPO", save_all=True, append_images=[second]))[9, 9, 0] > 250


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (8_000, 7_000)])
def test_pixels_are_counted_in_the_header_before_any_is_decoded(width: int, height: int) -> None:
    with pytest.raises(InputError, match="truncated or broken"):
        decode(png_header(100, 100))  # so would the others be, were their pixels asked for
    with pytest.raises(TooLargeError, match="the limit is 50 megapixels"):
        decode(png_header(width, height))


def test_an_image_at_the_pixel_limit_passes_and_one_pixel_more_does_not() -> None:
    limits = ImageLimits(max_pixels=12)
    assert decode(image_file(picture(0, 4, 3)), limits).shape == (3, 4, 3)
    with pytest.raises(TooLargeError, match="13 x 1 pixels"):
        decode(image_file(picture(0, 13, 1)), limits)


def test_a_file_at_the_byte_limit_passes_and_one_byte_more_does_not() -> None:
    data = image_file(picture(0))
    decode(data, ImageLimits(max_bytes=len(data)))
    with pytest.raises(TooLargeError, match=f"the limit is {len(data) - 1:,}"):
        decode(data, ImageLimits(max_bytes=len(data) - 1))


def test_a_large_jpeg_is_decoded_at_an_eighth_of_its_size_and_looks_the_same() -> None:
    data = image_file(picture(1, 1600, 1200), "JPEG", quality=90)
    drafted = decode(data)
    assert drafted.shape == (1200 // 8, 1600 // 8, 3)  # the least that is no smaller than twice the side
    with Image.open(io.BytesIO(data)) as image:
        plain = image.convert("RGB").resize((200, 150), Image.Resampling.BOX)
    assert np.abs(drafted.astype(int) - np.asarray(plain)).mean() < 1.5


def test_a_jpeg_that_is_not_much_larger_than_the_side_keeps_every_pixel() -> None:
    assert decode(image_file(picture(1, 200, 150), "JPEG")).shape == (150, 200, 3)


SMALL = ImageLimits(max_bytes=100_000, max_pixels=100_000)


def decode_or_refuse(data: bytes) -> None:
    try:
        pixels = decode(data, SMALL)
    except InputError:
        return
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.dtype == np.uint8


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_input_errors(data: bytes) -> None:
    decode_or_refuse(data)


@settings(deadline=None)
@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"MM\0*"]), st.binary())
def test_arbitrary_bytes_after_a_magic_number_raise_only_input_errors(magic: bytes, rest: bytes) -> None:
    decode_or_refuse(magic + rest)


ANIMATED = {"save_all": True, "append_images": [Image.fromarray(picture(4, 40, 30))]}
INTACT = [
    image_file(picture(3, 40, 30), "JPEG", quality=80),
    image_file(picture(3, 40, 30), "JPEG", progressive=True),
    image_file(np.dstack([picture(3, 20, 20), picture(4, 20, 20)[:, :, :1]])),
    image_file(np.arange(400, dtype=np.uint16).reshape(20, 20) * 100),
    image_file(picture(3, 40, 30), "WEBP"),
    image_file(picture(3, 40, 30), "GIF", **ANIMATED),
    image_file(picture(3, 20, 20), "BMP"),
    image_file(picture(3, 20, 20), "TIFF", compression="tiff_lzw"),
    image_file(picture(3, 20, 20), "TIFF"),
]
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(INTACT), CHANGES, st.floats(0, 1))
def test_damaged_files_raise_only_input_errors(
    intact: bytes, changes: list[tuple[float, int]], kept: float
) -> None:
    damaged = bytearray(intact)
    for place, value in changes:
        damaged[int(place**3 * len(damaged))] = value  # mostly near the head, where it hurts
    decode_or_refuse(bytes(damaged[: len(damaged) if kept > 0.5 else int(2 * kept * len(damaged))]))
