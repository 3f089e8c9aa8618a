from pathlib import Path

import pytest

from tests.tiny import image_file, picture
from training.drafting.imagefiles import Fit, file_keys, find_fit, image_sizes, looks_like_image
from training.drafting.survey import Column


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four pictures in images/, one of them without an ending, two equal."""
    (tmp_path / "images").mkdir()
    for name, seed in (("1.png", 1), ("2.png", 2), ("3.png", 2), ("bare", 4)):
        (tmp_path / "images" / name).write_bytes(image_file(picture(seed, 40, 20)))
    return tmp_path


def column(*cells: str) -> Column:
    return Column("x", len(cells), cells)


def fit(root: Path, *cells: str) -> Fit:
    found = find_fit(root, column(*cells))
    assert found is not None
    return found


def test_paths_that_are_right_are_taken_as_they_stand(root: Path) -> None:
    found = fit(root, "images/1.png", "images/2.png", "images/none.png")
    assert found.as_is
    assert found.share == pytest.approx(2 / 3)
    assert fit(root, "images/bare").as_is


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("1.png", "images/1.png"),
        ("1", "images/1.png"),
        ("images/1", "images/1.png"),
        ("C:\\me\\1.png", "images/1.png"),
        ("/home/me/1.png", "images/1.png"),
    ],
)
def test_it_is_told_how_a_cell_should_be_written(root: Path, cell: str, written: str) -> None:
    found = fit(root, cell)
    assert not found.as_is
    assert found.example == (cell, written)


@pytest.mark.parametrize(
    "cell", ["none.png", "a red shoe", "https://example.org/1.png", "x" * 5_000, "a\0b", "images"]
)
def test_what_leads_to_no_file_fits_nowhere(root: Path, cell: str) -> None:
    assert find_fit(root, column(cell)) is None


def test_a_file_that_is_no_image_does_not_fit(root: Path) -> None:
    (root / "notes.txt").write_text("hello")
    assert find_fit(root, column("notes.txt")) is None


def test_endings_of_images_are_seen_though_no_file_is_there() -> None:
    assert looks_like_image(column("https://example.org/a.JPG?size=2"))
    assert not looks_like_image(column("a red shoe"))


def test_sizes_are_read_and_equal_images_share_a_key(root: Path) -> None:
    cells = column("images/1.png", "images/2.png", "images/3.png", "images/none.png")
    assert image_sizes(root, cells) == [(40, 20)] * 3
    keys = file_keys(root, cells)
    assert keys["images/2.png"] == keys["images/3.png"] != keys["images/1.png"]
    assert "images/none.png" not in keys
