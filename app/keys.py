"""API keys: kept as SHA-256, compared in constant time. A key itself is never kept, shown or logged."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

_ENTRY = re.compile(r"(?:(?P<name>[A-Za-z0-9_.-]{1,64}):)?(?P<hash>[0-9a-fA-F]{64})")


class Keys:
    """The keys that are known, by hash, each with a name for the log."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Keep `names`, from hash to name."""
        self._names = dict(names)

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, key: bytes) -> str | None:
        """The name of `key`; None if it is not known. Takes as long whichever key it is, and whether or not."""
        digest, found = hash_key(key), None
        for known, name in self._names.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def hash_key(key: bytes) -> str:
    """SHA-256 in hex. Quick to compute, so a key must be one that nobody guesses: see `make_key`."""
    return hashlib.sha256(key).hexdigest()


def make_key() -> str:
    """A new key of 256 random bits."""
    return secrets.token_urlsafe(32)


def parse_keys(entries: Iterable[str]) -> Keys:
    """Entries are `hash` or `name:hash`; empty ones are skipped.

    Raises:
        ValueError: naming the place of the first faulty entry, never what stands there: it may be a key.
    """
    names: dict[str, str] = {}
    for number, entry in enumerate(filter(None, map(str.strip, entries)), 1):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(
                f"entry {number} is no SHA-256 in hex, nor name:SHA-256; a key itself must not stand there. "
                "Hash it: python -m app hash-key"
            )
        digest = match["hash"].lower()
        names[digest] = match["name"] or f"sha256:{digest[:8]}"
    return Keys(names)


def read_entries(path: Path) -> list[str]:
    """The entries of a file: one a line; what follows a # is a comment.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {error}") from None
    return [line.partition("#")[0] for line in lines]
