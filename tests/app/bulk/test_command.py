"""`python -m app gallery`, with the shipped model: in, out, checked and copied, and begun again."""

import json
import sqlite3
from pathlib import Path

import pytest

from app.bulk.command import main
from models.errors import ConfigError, ManifestError
from retrieval.errors import GalleryBusyError
from retrieval.sqlite.store import SqliteStore

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "samples"


def run(data: Path, *arguments: str, status: int = 0) -> list[str]:
    lines: list[str] = []
    flags = [f"--data={data}", "--checkpoints", str(ROOT / "checkpoints"), "--models", "fashion"]
    assert main([*arguments, *flags], lines.append) == status
    return lines


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "broken.png").write_bytes(b"no image")
    rows = [
        "key,photo,title,kind,price",
        f"a,{SAMPLES / 'images/cactus.png'},cactus,plant,3",
        "b,,blue shoe,shoe,",
    ]
    path = tmp_path / "own.csv"
    broken = ["c,broken.png,broken,shoe,1", "d,nowhere.png,lost,shoe,1", "e,,,shoe,2", "a,,again,shoe,2"]
    path.write_text("\n".join([*rows, *broken]) + "\n")
    return path


COLUMNS = ("--id=key", "--image=photo", "--text", "title", "--labels=kind", "--metadata", "price")


def test_rows_are_written_and_one_that_is_broken_harms_no_other(
    tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    last = run(data, "import", str(manifest), "--gallery", "shop", *COLUMNS, status=1)[-1]
    assert last == "shop: 2 items are written, 4 are at fault"
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in told] == ["own.csv:5", "own.csv:6", "own.csv:7", "own.csv:4"]
    assert "id 'a' stands in row 2 too" in told[2]
    again = run(data, "import", str(manifest), "--gallery", "shop", *COLUMNS, status=1)[-1]
    assert again == "shop: 0 items are written, 2 were there already, 4 are at fault"
    assert run(data, "verify") == ["fashion: sound", "shop: sound"]


def test_what_is_written_out_can_be_read_in_and_copied(tmp_path: Path, manifest: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    run(data, "import", str(manifest), "--gallery", "shop", *COLUMNS, status=1)
    assert run(data, "export", "shop", str(out))[-1] == f"shop: 2 items are in {out / 'items.jsonl'}"
    lines = [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]
    assert lines == [
        {"id": "a", "text": "cactus", "kind": "plant", "price": "3", "image": "images/0.png"},
        {"id": "b", "text": "blue shoe", "kind": "shoe"},
    ]
    assert (out / "images/0.png").read_bytes() == (SAMPLES / "images/cactus.png").read_bytes()
    with pytest.raises(ConfigError, match="there already"):
        run(data, "export", "shop", str(out))
    columns = ("--id=id", "--image=image", "--text=text", "--labels=kind", "--metadata=price")
    assert run(data, "import", str(out / "items.jsonl"), "--gallery=again", *columns)[-1].startswith(
        "again: 2 items"
    )
    assert run(data, "copy", "shop", "--to", str(tmp_path / "else"))[-1] == "shop: 2 items are copied"
    assert run(tmp_path / "else", "verify") == ["shop: sound"]


def test_damage_is_told(tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    run(data, "import", str(manifest), "--gallery", "shop", *COLUMNS, status=1)
    with sqlite3.connect(data / "galleries/shop.db") as db:
        db.execute("UPDATE vectors SET data = x'00'")
    db.close()
    capsys.readouterr()
    assert "faults" in run(data, "verify", "shop", status=1)[-1]
    assert capsys.readouterr().err.startswith("shop: ")


def test_what_cannot_be_done_is_told_with_the_remedy(tmp_path: Path, manifest: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(ConfigError, match="No gallery 'none'"):
        run(data, "verify", "none")
    with pytest.raises(ManifestError, match="no column 'titel'"):
        run(data, "import", str(manifest), "--gallery", "shop", "--text", "titel")
    (tmp_path / "empty.csv").write_text('title\n""\n')
    with pytest.raises(ManifestError, match=r"empty.csv:2: no text\. Fill a cell"):
        run(data, "import", str(tmp_path / "empty.csv"), "--gallery", "shop", "--text", "title")
    store = SqliteStore(data)
    models = store.models()
    assert models == {"fashion": "fashion"}
    store.close()


def test_a_service_that_has_the_galleries_is_named(tmp_path: Path, manifest: Path) -> None:
    data = tmp_path / "data"
    run(data, "import", str(manifest), "--gallery", "shop", *COLUMNS, status=1)
    store = SqliteStore(data)
    with store._reading("shop"):
        pass
    store.open("shop", store.describe("shop").embeddings[0], model="fashion")
    with pytest.raises(GalleryBusyError, match="in use by process"):
        run(data, "import", str(manifest), "--gallery", "shop", *COLUMNS)
    store.close()
