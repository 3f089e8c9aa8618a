"""Image files: intact ones of every accepted format and mode, mutations of them, and rogues made by hand.

All of it is made by real encoders from fixed seeds, when it is asked for."""

import base64
import functools
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import numpy as np
from PIL import Image

SEED = 20240229
BIG = 50_000
"""A side in pixels: its square is fifty times the limit."""


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def picture(mode: str, width: int = 40, height: int = 30) -> Image.Image:
    """A smooth random picture in any of Pillow's modes."""
    rng = np.random.default_rng(len(mode))
    if mode in ("I;16", "F", "I"):
        kind = {"I;16": np.uint16, "F": np.float32, "I": np.int32}[mode]
        return Image.fromarray(rng.integers(0, 60_000, (height, width)).astype(kind))
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 4), dtype=np.uint8), "RGBA").resize((width, height))
    return coarse if mode == "RGBA" else coarse.convert("RGB").convert(mode)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "maker"
    return exif


def intact() -> dict[str, bytes]:
    """Files that decode, by format and mode."""
    files: dict[str, bytes] = {}
    saved: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "JPEG": [
            ("L", {}), ("RGB", {}), ("CMYK", {}), ("RGB", {"progressive": True}), ("RGB", {"exif": _exif(6)}),
            ("RGB", {"subsampling": 0, "icc_profile": b"profile" * 50}), ("RGB", {"restart_marker_blocks": 2}),
        ],
        "PNG": [
            ("1", {}), ("L", {}), ("LA", {}), ("P", {}), ("P", {"transparency": 3}), ("RGB", {}), ("RGBA", {}),
            ("I;16", {}), ("RGB", {"exif": _exif(5), "icc_profile": b"profile" * 50}),
            ("RGB", {"transparency": (1, 2, 3)}),
        ],
        "WEBP": [("RGB", {}), ("RGBA", {}), ("RGB", {"lossless": True}), ("RGB", {"exif": _exif(8).tobytes()})],
        "GIF": [("1", {}), ("L", {}), ("P", {}), ("P", {"transparency": 3}), ("RGB", {"comment": b"c" * 600})],
        "BMP": [("1", {}), ("L", {}), ("P", {}), ("RGB", {}), ("RGBA", {})],
        "TIFF": [
            ("1", {"compression": "group4"}), ("1", {"compression": "group3"}), ("L", {}), ("P", {}), ("RGB", {}),
            ("RGBA", {}), ("CMYK", {}), ("YCbCr", {}), ("LAB", {}), ("I;16", {}), ("I", {}), ("F", {}),
            ("RGB", {"compression": "tiff_lzw"}), ("RGB", {"compression": "tiff_adobe_deflate"}),
            ("RGB", {"compression": "packbits"}), ("RGB", {"compression": "jpeg"}), ("RGB", {"big_tiff": True}),
            ("I;16", {"compression": "tiff_lzw"}), ("F", {"compression": "tiff_adobe_deflate"}),
        ],
    }  # fmt: skip
    for form, variants in saved.items():
        for number, (mode, options) in enumerate(variants):
            files[f"{form} {mode} {number}"] = encode(picture(mode), form, **options)
    for form in ("GIF", "WEBP", "PNG", "TIFF", "MPO"):
        frames = [Image.new("RGB", (40, 30), colour) for colour in ("blue", "green", "black")]
        files[f"{form} of four"] = encode(picture("RGB"), form, save_all=True, append_images=frames)
    files["BMP RLE8"] = bmp_rle(40, 30, b"".join(b"\x28" + bytes([row]) + b"\0\0" for row in range(30)) + b"\0\1")
    return files


FORM_TYPE = "multipart/form-data; boundary=X"


def bodies() -> dict[str, bytes]:
    """Bodies that are accepted; the first word says by what."""
    image = encode(picture("RGB", 8, 8), "PNG")
    where = {"or": [{"labels.colour": {"in": ["red", "blue"]}}, {"not": {"metadata.year": {"gte": 2015}}}]}
    fields = {"text": "größe ☃", "top_k": 3, "num_labels": 0, "retrieve": True, "filter": where}
    item = {"image": base64.b64encode(image).decode(), **fields}
    parts = [b'name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + image]
    parts += [f'name="{name}"\r\n\r\n{json.dumps(value)}'.encode() for name, value in fields.items()]
    head = b"--X\r\nContent-Disposition: form-data; "
    return {
        "json": json.dumps(item).encode(),
        "batch": json.dumps({"items": [item, {"text": "red"}, {}]}).encode(),
        "search": json.dumps({"vector": [0.5, 1, -2e3], "target": "image", "min_score": 0.1}).encode(),
        "form": b"".join(head + part + b"\r\n" for part in parts) + b"--X--\r\n",
        "query": urlencode({name: json.dumps(value) for name, value in fields.items()}).encode(),
    }


def mutations(files: dict[str, bytes], count: int, seed: int = SEED) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files, each with what was done to which."""
    rng = random.Random(seed)
    names = sorted(files)
    for number in range(count):
        name = names[number % len(names)]
        kind = rng.choice(sorted(_MUTATIONS))
        data = _MUTATIONS[kind](rng, files[name], files[rng.choice(names)])
        if rng.random() < 0.3:
            kind, data = (
                f"{kind}+",
                _MUTATIONS[rng.choice(sorted(_MUTATIONS))](rng, data, files[rng.choice(names)]),
            )
        yield f"{number} {name} {kind}", mend_png(data) if data[:4] == b"\x89PNG" and rng.random() < 0.8 else data


def _place(rng: random.Random, data: bytes) -> int:
    return int(rng.random() ** 2 * len(data))  # mostly near the head, where it hurts


def _flip_bits(rng: random.Random, data: bytes, _: bytes) -> bytes:
    changed = bytearray(data)
    for _number in range(rng.choice((1, 1, 2, 8, 40))):
        changed[_place(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_bytes(rng: random.Random, data: bytes, _: bytes) -> bytes:
    changed = bytearray(data)
    for _number in range(rng.choice((1, 2, 4))):
        changed[_place(rng, data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))
    return bytes(changed)


def _lie(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A length, an offset or a size in the head that cannot be."""
    word = rng.choice((b"\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0", b"\0\x10\0\0"))
    at = rng.randrange(min(len(data), 120))
    return data[:at] + word + data[at + len(word) :]


def _cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    return data[: rng.randrange(1, len(data) + 1)]


def _remove(rng: random.Random, data: bytes, _: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 16, 200)) :] or b"\0"


def _repeat(rng: random.Random, data: bytes, _: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + data[at : at + rng.choice((1, 4, 60))] * rng.choice((2, 50)) + data[at:]


def _splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: _place(rng, data) + 1] + other[_place(rng, other) :]


_MUTATIONS: dict[str, Callable[[random.Random, bytes, bytes], bytes]] = {
    "flip": _flip_bits, "set": _set_bytes, "lie": _lie, "cut": _cut, "remove": _remove, "repeat": _repeat,
    "splice": _splice,
}  # fmt: skip


def mend_png(data: bytes) -> bytes:
    """Make the checksums of a PNG right again, or most mutations would end there."""
    mended, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length > len(data) - at - 12:
            break
        body = data[at + 4 : at + 8 + length]
        mended += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(mended + data[at:])


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes, pixels: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG, with `chunks` before its compressed pixels."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def bmp(width: int, height: int, pixels: bytes = b"", *, bits: int = 24, rle: int = 0, colours: int = 0) -> bytes:
    at = 54 + 4 * colours
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, rle, len(pixels), 0, 0, colours, 0)
    palette = b"".join(bytes((grey, grey, grey, 0)) for grey in range(colours))
    return b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at) + head + palette + pixels


def bmp_rle(width: int, height: int, runs: bytes) -> bytes:
    return bmp(width, height, runs, bits=8, rle=1, colours=256)


def gif(width: int, height: int, frames: bytes) -> bytes:
    palette = b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + palette + frames + b";"


def gif_frame(width: int, height: int) -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\0"


def tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"", next_ifd: int = 0) -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value or offset)."""
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", next_ifd) + rest


def tiff_image(
    width: int, height: int, compression: int = 1, strip_bytes: int = 3, rest: bytes = b"\0\0\0"
) -> bytes:
    """A TIFF in grey whose one strip is `rest`."""
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, strip_bytes),
    ]  # fmt: skip
    return tiff(entries, rest)


def webp_canvas(width: int, height: int) -> bytes:
    """An extended WebP with a canvas that size and no picture on it."""
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0"
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def huge_headers() -> dict[str, bytes]:
    """Headers of 50,000 x 50,000 pixels (as far as a format can say so), with next to nothing behind them."""
    jpeg = bytearray(encode(picture("RGB"), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", BIG, BIG)
    return {
        "PNG": png(BIG, BIG, pixels=zlib.compress(bytes(1000))),
        "BMP": bmp(BIG, BIG, bytes(1000)),
        "TIFF": tiff_image(BIG, BIG),
        "TIFF LZW": tiff_image(BIG, BIG, compression=5),
        "GIF": gif(BIG, BIG, gif_frame(BIG, BIG)),
        "GIF frame beyond its screen": gif(1, 1, gif_frame(BIG, BIG)),
        "WEBP": webp_canvas(BIG, BIG),
        "JPEG": bytes(jpeg),
    }


def jpeg_of_scans(num_scans: int, width: int = 8000, height: int = 6000) -> bytes:
    """A progressive JPEG that repeats one tiny scan."""
    data = encode(Image.new("L", (width, height)), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x05\x00" + b"\x00"  # the lower AC band: an end of band, and no more
    return data[:second] + scan * num_scans + b"\xff\xd9"


def endless_zeros(num_mb: int) -> bytes:
    """A zlib stream of that many megabytes of zeros; it ends without its checksum."""
    packer = zlib.compressobj(9, wbits=-15)
    megabyte = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + megabyte * num_mb + b"\x03\0"


@functools.cache
def bombs(size_bytes: int) -> dict[str, bytes]:
    """Files of up to `size_bytes` that unpack to gigabytes, or cost minutes, where nothing stops them."""
    zeros = endless_zeros(2_000)
    side = [(256, 4, 1, 8), (257, 4, 1, 8)]
    megabyte = zlib.compress(bytes(1_000_000), 9)
    row = zlib.compress(b"\0" + bytes(24), 9)
    text = png_chunk(b"zTXt", b"key\0\0" + zeros)
    comments = (b"!\xfe" + b"\xff" + b"c" * 255 + b"\0") * (size_bytes // 259)
    one = encode(picture("RGB", 8, 8), "JPEG")
    tables = one[one.index(b"\xff\xdb") : one.index(b"\xff\xc0")]
    return {
        "PNG pixels": png(8, 1, pixels=zeros),
        "PNG iCCP": png(8, 1, png_chunk(b"iCCP", b"icc\0\0" + zeros), pixels=row),
        "PNG zTXt": png(8, 1, text, pixels=row),
        "PNG iTXt": png(8, 1, png_chunk(b"iTXt", b"key\0\1\0\0\0" + zeros), pixels=row),
        "PNG many zTXt": png(8, 1, png_chunk(b"zTXt", b"k\0\0" + megabyte) * (size_bytes // 1100), pixels=row),
        "PNG of empty chunks": png(8, 1, png_chunk(b"tEXt", b"k\0") * (size_bytes // 14), pixels=row),
        "PNG of empty IDAT": png(8, 1, png_chunk(b"IDAT", b"") * (size_bytes // 12), pixels=row),
        "GIF of many frames": gif(8, 8, gif_frame(8, 8) * (size_bytes // 15)),
        "GIF of comments": gif(8, 8, comments + gif_frame(8, 8)),
        "GIF of empty extensions": gif(8, 8, b"!\x01\0" * (size_bytes // 3) + gif_frame(8, 8)),
        "GIF of application data": gif(8, 8, b"!\xff\x0bNETSCAPE2.0\0" * (size_bytes // 15) + gif_frame(8, 8)),
        "JPEG of empty segments": one[:2] + b"\xff\xe5\x00\x02" * (size_bytes // 4) + one[2:],
        "JPEG of fill bytes": one[:2] + b"\xff" * size_bytes + one[2:],
        "JPEG that ends in fill bytes": one[:2] + b"\xff" * size_bytes,
        "JPEG of comments": one[:2] + b"\xff\xfe\x00\x02" * (size_bytes // 4) + one[2:],
        "JPEG of Exif": one[:2] + b"\xff\xe1\x00\x08Exif\0\0" * (size_bytes // 10) + one[2:],
        "JPEG of ICC": one[:2] + (b"\xff\xe2\x00\x10ICC_PROFILE\0\x01\x01") * (size_bytes // 18) + one[2:],
        "JPEG of tables": one[:2] + tables * (size_bytes // len(tables)) + one[2:],
        "JPEG of scans": jpeg_of_scans(size_bytes // 11),
        "TIFF of many tags": tiff([(256 + n % 60_000, 4, 1, 1) for n in range(min(65_535, size_bytes // 12))]),
        "TIFF of a huge tag": tiff([*side, (700, 1, 4_000_000_000, 0)]),
        "TIFF of shared tags": tiff(
            side + [(40_000 + n, 4, size_bytes // 8, 8) for n in range(1000)],
            bytes(size_bytes),
        ),
        "TIFF of many strips": tiff(
            [(256, 4, 1, 1), (257, 4, 1, size_bytes // 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
             (273, 4, size_bytes // 8, 134), (278, 4, 1, 1), (279, 4, size_bytes // 8, 134)],
            bytes(size_bytes),
        ),
        "TIFF in a circle": tiff(side, next_ifd=8),
        "TIFF Deflate": tiff_image(8, 8, compression=8, strip_bytes=len(zeros), rest=zeros),
        "BMP of runs": bmp_rle(7000, 7000, b"\1\1" * (size_bytes // 2)),
        "BMP of steps": bmp_rle(7000, 7000, b"\0\2\0\0" * (size_bytes // 4)),
        "BMP of empty rows": bmp_rle(10_000, 4_900, b"\1\1\0\0" * 4_900 + b"\0\1"),
        "BMP of nothing": bmp_rle(7000, 7000, b"\0\1"),
        "WEBP of chunks": _webp_chunks(size_bytes),
        "PNG of Exif tags": png(8, 1, png_chunk(b"eXIf", shared_tags(size_bytes)), pixels=row),
        "WEBP of Exif tags": webp_exif(shared_tags(size_bytes)),
        "TIFF of Exif tags": tiff_exif(size_bytes),
        "TIFF of many bits": tiff([*side, (258, 3, size_bytes // 2, 50)], bytes(size_bytes)),
        "TIFF of many rows": tiff_image(4, 10_000_000, strip_bytes=size_bytes, rest=bytes(size_bytes)),
    }  # fmt: skip


def shared_tags(size_bytes: int, num_tags: int = 900) -> bytes:
    """A TIFF whose tags all hold the same large value."""
    return tiff([(40_000 + n, 1, size_bytes, 8) for n in range(num_tags)], bytes(size_bytes))


def tiff_exif(size_bytes: int) -> bytes:
    image = bytearray(tiff_image(8, 1, strip_bytes=24, rest=b""))
    at = len(image) + 12
    image[8:10] = struct.pack("<H", 10)
    image[-4:-4] = struct.pack("<HHII", 0x8769, 4, 1, at + 24)
    entries = [(0x9000 + n, 1, size_bytes, 8) for n in range(900)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return bytes(image) + bytes(24) + directory + bytes(4 + size_bytes)


def webp_exif(exif: bytes) -> bytes:
    one = encode(picture("RGB", 8, 8), "WEBP")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + b"\7\0\0\7\0\0" + one[12:]
    body += b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunks(size_bytes: int) -> bytes:
    one = encode(picture("RGB", 8, 8), "WEBP")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\7\0\0\7\0\0"
    body += b"JUNK\0\0\0\0" * (size_bytes // 8) + one[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body
