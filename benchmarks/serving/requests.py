"""What is sent: pairs of an image and a text, as HTTP requests in the forms that servers take, good and bad."""

import json
import random
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_BOUNDARY = "intermodal-benchmark"
_TITLES = (
    "Puma Men Black Sports Shoes",
    "Fabindia Women Red Kurta",
    "Titan Men Silver Watch",
    "Blue Casual Shirt",
)


@dataclass(frozen=True, slots=True)
class Pair:
    """An image file and a text."""

    image: bytes
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The bytes of a request, and what may come back.

    statuses: those that count as right.
    expected: where the answer is compared, what `answers.expectation` gives.
    cancel: the client leaves before the answer.
    """

    data: bytes
    statuses: tuple[int, ...] = (200,)
    expected: Mapping[str, Any] | None = field(default=None, repr=False)
    cancel: bool = False


def load_pairs(folder: Path | None, count: int) -> list[Pair]:
    """JPEG files of `folder`, or else the thumbnails of the shipped gallery, with a title each."""
    if folder is not None:
        files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:count]]
    else:
        with zipfile.ZipFile(ROOT / "checkpoints/fashion/2/gallery/thumbnails.zip") as archive:
            files = [archive.read(name) for name in archive.namelist()[:count]]
    return [Pair(data, f"{_TITLES[number % len(_TITLES)]} {number}") for number, data in enumerate(files)]


def multipart(pair: Pair, path: str = "/predict", headers: Mapping[str, str] | None = None) -> bytes:
    """A form with the parts `image` and `text`."""
    disposition = 'Content-Disposition: form-data; name="'
    lead = f'--{_BOUNDARY}\r\n{disposition}text"\r\n\r\n{pair.text}\r\n--{_BOUNDARY}\r\n{disposition}image"'
    body = (
        f'{lead}; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'.encode()
        + pair.image
        + f"\r\n--{_BOUNDARY}--\r\n".encode()
    )
    return post(path, f"multipart/form-data; boundary={_BOUNDARY}", body, headers)


def msgpack(pair: Pair, path: str = "/inference") -> bytes:
    """`{"image": bytes, "text": str}` (https://github.com/msgpack/msgpack/blob/master/spec.md)."""
    text = pair.text.encode()
    image = b"\xa5image" + b"\xc6" + len(pair.image).to_bytes(4, "big") + pair.image
    body = b"\x82" + image + b"\xa4text" + b"\xd9" + len(text).to_bytes(1, "big") + text
    return post(path, "application/msgpack", body)


def post(path: str, media_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A POST request."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def bad_requests(pairs: Sequence[Pair], seed: int = 0) -> list[Request]:
    """Requests that must be refused: broken images, wrong types and fields, unknown paths."""
    rng = random.Random(seed)
    some = [pairs[rng.randrange(len(pairs))] for _ in range(8)]
    noise = rng.randbytes(3000)
    refused = (400, 413, 415, 422)
    texts = [
        post("/predict", "application/json", b'{"text": "shoe"'),
        post("/predict", "application/json", json.dumps({"text": 7}).encode()),
        post("/predict", "application/json", json.dumps({"image": "not base64!"}).encode()),
        post("/predict", "application/json", json.dumps({"text": "shoe", "colour": "red"}).encode()),
        post("/predict", "application/json", json.dumps({"text": "shoe", "top_k": -1}).encode()),
        post("/predict", "application/json", b"{}"),
        post("/predict", "application/xml", b"<text>shoe</text>"),
    ]
    images = [post("/predict", "image/jpeg", data) for data in (b"", noise, b"\xff\xd8\xff" + noise)]
    images += [multipart(Pair(pair.image[: len(pair.image) // 4], pair.text)) for pair in some]
    lost = [post("/nothing", "application/json", b"{}"), b"GET /models/nobody HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    lost += [
        multipart(some[0], "/models/nobody/predict"),
        multipart(some[0], "/models/fashion/versions/99/predict"),
    ]
    return [Request(data=data, statuses=refused) for data in texts + images] + [
        Request(data=data, statuses=(404,)) for data in lost
    ]
