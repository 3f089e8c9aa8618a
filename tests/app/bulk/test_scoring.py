"""`python -m app score`, with the shipped model: a line out for each row in, also where it was interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.bulk.score_command import main
from app.main import create_app
from app.settings import Settings
from models.errors import ConfigError, ManifestError

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "samples"
COLUMNS = ("--id=key", "--image=photo", "--text=title")


def run(manifest: Path, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
    flags = ["--checkpoints", str(ROOT / "checkpoints"), "--models", "fashion", "--log-level=error"]
    assert main([str(manifest), *arguments, *flags], lambda _: None) == status
    lines = manifest.with_suffix(".scores.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "broken.png").write_bytes(b"no image")
    image = SAMPLES / "images/t-shirt.png"
    rows = [
        "key,photo,title",
        f"a,{image},blue t-shirt",
        "b,,red dress",
        "c,broken.png,",
        "d,gone.png,watch",
        "e,,",
    ]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_each_row_has_one_line_in_order_and_a_bad_one_harms_no_other(manifest: Path) -> None:
    lines = run(manifest, *COLUMNS, status=1)
    assert [(line["id"], line["row"], line["status"]) for line in lines] == [
        ("a", 2, 200), ("b", 3, 200), ("c", 4, 415), ("d", 5, 422), ("e", 6, 422),
    ]  # fmt: skip
    assert lines[3]["problem"]["detail"].startswith("image: No such file or directory: gone.png.")
    assert "matches" not in lines[0]


def test_a_row_is_answered_as_predict_answers_it(manifest: Path) -> None:
    line = run(manifest, *COLUMNS, "--num-labels=0", "--top-k=3", "--galleries=seed", status=1)[0]
    settings = Settings(checkpoints=ROOT / "checkpoints", models="fashion", galleries="seed")
    with TestClient(create_app(settings)) as client, (SAMPLES / "images/t-shirt.png").open("rb") as image:
        form = {"text": "blue t-shirt", "num_labels": "0", "top_k": "3"}
        answer = client.post("/predict", data=form, files={"image": image}).json()
    del answer["request_id"]
    assert {name: value for name, value in line.items() if name not in ("id", "row", "status")} == answer


def test_what_was_interrupted_goes_on_and_a_line_cut_short_is_written_again(manifest: Path) -> None:
    whole = run(manifest, *COLUMNS, status=1)
    out = manifest.with_suffix(".scores.jsonl")
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:1]) + lines[1][:20])
    assert run(manifest, *COLUMNS, status=1) == whole
    before = out.stat().st_mtime_ns
    assert run(manifest, *COLUMNS) == whole
    assert out.stat().st_mtime_ns >= before


def test_a_file_of_other_rows_is_left_alone(manifest: Path) -> None:
    out = manifest.with_suffix(".scores.jsonl")
    out.write_text('{"id": "z", "row": 2}\n')
    with pytest.raises(ConfigError, match=r"own\.scores\.jsonl:1: is no row of this manifest"):
        run(manifest, *COLUMNS)
    assert out.read_text() == '{"id": "z", "row": 2}\n'


def test_no_line_is_written_for_a_manifest_that_cannot_be_read(manifest: Path) -> None:
    with pytest.raises(ManifestError, match="no column 'picture'"):
        run(manifest, "--image=picture")
    assert not manifest.with_suffix(".scores.jsonl").exists()
