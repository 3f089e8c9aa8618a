import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.manifest import Record
from tests.tiny import image_file, picture, tiny_checkpoint
from training.measures.outputs import SubsetOutput
from training.report.fonts import font_for
from training.report.pictures import (
    CELL_PX,
    GAP_PX,
    HEADING_PX,
    IMAGE_PX,
    MAX_FILE_BYTES,
    TEXT_PX,
    Cell,
    _sheet,
    error_sheet,
    retrieval_sheet,
    wrap,
)

CONFIG = tiny_checkpoint().config
EAST, NORTH = (1.0, 0.0), (0.0, 1.0)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Two pairs: blue and red."""
    found = []
    for row, colour in enumerate(("blue", "red")):
        (tmp_path / f"{row}.png").write_bytes(image_file(picture(row)))
        found.append(
            Record(
                row=row,
                id=str(row),
                image=tmp_path / f"{row}.png",
                texts=(f"$ a {colour} thing",),
                labels={"colour": colour},
            )
        )
    return found


def outputs_of(said: str) -> dict[str, SubsetOutput]:
    logits = np.array([[0.0, 1.0] if letter == "r" else [1.0, 0.0] for letter in said], dtype=np.float32)
    vectors = np.array([EAST, NORTH], dtype=np.float32)
    output = SubsetOutput(np.arange(2), {"colour": logits}, vectors)
    return dict.fromkeys(("image", "text", "image+text"), output)


def pixels(data: bytes) -> np.ndarray:
    assert data.startswith(b"\xff\xd8")
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def is_green(pixel: np.ndarray) -> bool:
    red, green, blue = pixel
    return bool(green > red + 50 and green > blue + 50)


def test_the_right_answer_has_a_green_frame_and_the_others_have_not(records: list[Record]) -> None:
    found = pixels(retrieval_sheet(outputs_of("br"), records))
    # Below the heading, the first band: query 0, then what it found, its own item first.
    middle = GAP_PX + HEADING_PX + 2 * GAP_PX + CELL_PX // 2
    left = [GAP_PX + column * (CELL_PX + GAP_PX) + 1 for column in range(3)]
    assert [is_green(found[middle, x]) for x in left] == [False, True, False]


def test_errors_stand_beside_one_another_below_their_head(records: list[Record]) -> None:
    one, two = (
        pixels(error_sheet(outputs_of("rr"), records, CONFIG)),
        pixels(error_sheet(outputs_of("rb"), records, CONFIG)),
    )
    assert one.shape[1] == CELL_PX + 2 * GAP_PX
    assert two.shape[1] == 2 * CELL_PX + 3 * GAP_PX


def test_without_errors_or_images_there_is_no_sheet(records: list[Record]) -> None:
    assert error_sheet(outputs_of("br"), records, CONFIG) == b""
    only_text = {"text": outputs_of("rr")["text"]}
    assert error_sheet(only_text, records, CONFIG) == b""
    assert retrieval_sheet(only_text, records) == b""


def test_a_sheet_of_noise_is_made_smaller_until_it_is_moderate(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (IMAGE_PX, IMAGE_PX, 3), dtype=np.uint8)
    (tmp_path / "noise.png").write_bytes(image_file(noise))
    cells = [Cell(tmp_path / "noise.png")] * 6
    data = _sheet([cells] * 7)
    assert len(data) <= MAX_FILE_BYTES
    assert pixels(data).shape[1] == 6 * (CELL_PX + GAP_PX) + GAP_PX


def test_text_is_broken_where_it_fits() -> None:
    width = int(font_for("a", TEXT_PX).getlength("red shoes")) + 1
    assert wrap("red shoes red", width, 9) == ["red shoes", "red"]


def test_text_beyond_the_last_line_becomes_an_ellipsis() -> None:
    width = int(font_for("a", TEXT_PX).getlength("red shoes")) + 1
    assert wrap("red shoes red", width, 1) == ["red sho…"]  # the ellipsis is wider than one letter


def test_a_word_longer_than_the_line_is_cut_into_lines() -> None:
    width = int(font_for("a", TEXT_PX).getlength("mmmm")) + 1
    assert wrap("m" * 10, width, 9) == ["mmmm", "mmmm", "mm"]


def test_no_text_is_no_line() -> None:
    assert wrap("  ", 100, 3) == []
