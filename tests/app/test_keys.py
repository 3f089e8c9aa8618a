"""Keys are known by their hash only."""

import hashlib
import hmac
import io
import sys

import pytest

from app.__main__ import main
from app.keys import Keys, hash_key, make_key, parse_keys

KEY = b"correct horse battery"
HASH = hashlib.sha256(KEY).hexdigest()


def test_a_key_is_known_by_the_name_of_its_hash() -> None:
    keys = parse_keys([f"shop:{HASH}", "", " " + hash_key(b"other").upper()])
    assert len(keys) == 2
    assert keys.name_of(KEY) == "shop"
    assert keys.name_of(b"other") == f"sha256:{hash_key(b'other')[:8]}"
    assert keys.name_of(HASH.encode()) is None
    assert Keys({}).name_of(KEY) is None


def test_every_hash_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    keys = parse_keys([HASH, hash_key(b"b"), hash_key(b"c")])
    for key in (KEY, b"c", b"none"):
        compared.clear()
        keys.name_of(key)
        assert len(compared) == 3


@pytest.mark.parametrize("entry", ["hunter2", "shop:hunter2", f"two words:{HASH}", HASH[:-1], f"{HASH}{HASH}"])
def test_a_faulty_entry_is_named_by_its_place_and_never_shown(entry: str) -> None:
    with pytest.raises(ValueError, match="entry 2") as caught:
        parse_keys([HASH, "", entry])
    assert entry not in str(caught.value)


class Stdin(io.TextIOWrapper):
    def isatty(self) -> bool:
        return False


def test_hash_key_prints_the_hash_of_stdins_first_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(io.BytesIO(KEY + b"\n")))
    assert main(["hash-key"]) == 0
    assert capsys.readouterr().out == f"{HASH}\n"
    monkeypatch.setattr(sys, "stdin", Stdin(io.BytesIO(b"")))
    assert main(["hash-key"]) == 2
    assert "--generate" in capsys.readouterr().err


def test_hash_key_makes_a_key_with_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hash-key", "--generate"]) == 0
    key, digest = (line.split()[1] for line in capsys.readouterr().out.splitlines())
    assert digest == hash_key(key.encode())
    assert len(key) >= 43
    assert make_key() != make_key()
