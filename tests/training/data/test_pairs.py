import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.columns import Columns
from models.config import ImagePreprocessing, Preprocessing
from models.errors import ManifestError
from tests.tiny import SIDE_PX, Recorder, tiny_recipe, write_pairs
from training.data.pairs import (
    Pairs,
    check_files,
    label_numbers,
    label_vocabularies,
    load_pairs,
    prepare_pixels,
)

PREPROCESSING = Preprocessing(image=ImagePreprocessing(side_px=SIDE_PX))
COLUMNS = Columns(image="image", text="name", labels=("shape", "colour"), split="split")


def load(path: Path, columns: Columns = COLUMNS) -> Pairs:
    return load_pairs(path, columns, seed=0, val=0.2, test=0.2)


def append(path: Path, *lines: str) -> None:
    path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))


def test_rows_are_counted_by_split(tmp_path: Path) -> None:
    pairs = load(write_pairs(tmp_path))
    assert pairs.sizes() == {"train": 16, "val": 4, "test": 4}
    assert pairs.rows("val", "test").tolist() == [4, 5, 10, 11, 16, 17, 22, 23]


def test_equal_files_are_one_image_and_one_group(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    shutil.copy(tmp_path / "0.png", tmp_path / "copy.png")  # row 0 is train
    append(path, "copy.png,another name,star,red,test", ",no image at all,star,red,train")
    pairs = load(path)
    assert len(pairs.images) == 24
    assert pairs.image_of_N.tolist() == [*range(24), 0, -1]
    assert pairs.splits[0] == pairs.splits[24] == "test"


def test_the_hash_changes_with_the_rows_and_with_the_images(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    first = load(path).hash
    assert load(path).hash == first
    shutil.copy(tmp_path / "1.png", tmp_path / "0.png")
    second = load(path).hash
    append(path, ",a name,star,red,train")
    assert len({first, second, load(path).hash}) == 3


def test_every_image_that_cannot_be_decoded_is_told_with_its_first_row(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    (tmp_path / "3.png").write_text("no picture")
    (tmp_path / "9.png").write_bytes((tmp_path / "9.png").read_bytes()[:200])
    append(path, "3.png,again,star,red,train")
    progress = Recorder()
    with pytest.raises(ManifestError) as caught:
        check_files(load(path), PREPROCESSING, progress.advance)
    first, second = caught.value.faults
    assert first.startswith("pairs.csv:5: 3.png: not an image of an accepted format")
    assert second.startswith("pairs.csv:11: 9.png: ")
    assert "truncated or broken" in second
    assert progress.units == 24


def test_labels_are_those_of_train_in_the_order_of_the_alphabet(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    append(path, ",x,triangle,red,val", ",y,,green,train")
    pairs = load(path)
    vocabularies = label_vocabularies(pairs, ("shape", "colour"))
    assert vocabularies == {"shape": ("circle", "square", "star"), "colour": ("blue", "green", "red")}
    numbers = label_numbers(pairs, vocabularies)
    assert numbers[0].tolist() == [0, 0]  # a blue circle
    assert numbers[24].tolist() == [-1, 2]  # a shape that train does not have
    assert numbers[25].tolist() == [-1, 1]  # an empty cell


def test_a_head_with_one_label_is_a_fault(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    path.write_text(path.read_text().replace("red", "blue"))
    with pytest.raises(ManifestError, match=r"column 'colour' has 1 label\(s\) in train"):
        label_vocabularies(load(path), ("shape", "colour"))


def test_no_heads_give_no_numbers(tmp_path: Path) -> None:
    assert label_numbers(load(write_pairs(tmp_path)), {}).shape == (24, 0)


@pytest.mark.parametrize("numbers", [[0], [5, 2, 3]])
def test_pixels_come_in_the_order_asked_for(tmp_path: Path, numbers: Sequence[int]) -> None:
    write_pairs(tmp_path)
    pixels = prepare_pixels([tmp_path / f"{number}.png" for number in numbers], tiny_recipe().preprocessing)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (len(numbers), SIDE_PX, SIDE_PX, 3)
    for number, image in zip(numbers, pixels, strict=True):
        colour = (0, 0, 255) if number // 3 % 2 == 0 else (255, 0, 0)
        assert image[16, 16].tolist() == list(colour)
