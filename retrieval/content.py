"""What an item's vectors are made from, in one number: so that vectors of what has changed meanwhile are told."""

import hashlib


def content_of(
    text: str | None,
    image: bytes | None,
    thumbnail: bytes | None,
    audio: bytes | None = None,
    sensors: bytes | None = None,
) -> int:
    """A hash, as a signed 64-bit number, of text, image (or else thumbnail), recording and readings."""
    digest = hashlib.blake2b(digest_size=8)
    parts = [text.encode() if text is not None else None, image if image is not None else thumbnail]
    # Numbers of items without a recording, or readings, are those of galleries that knew none.
    parts += [] if audio is None else [audio]
    parts += [] if sensors is None else [b"sensors" + sensors]
    for part in parts:
        digest.update(b"-" if part is None else b"+%d:" % len(part) + part)
    return int.from_bytes(digest.digest(), "big", signed=True)
