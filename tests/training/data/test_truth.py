import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.columns import Columns
from models.config import NetworkConfig, RecurrentTextEncoder, RegressionHead
from models.errors import ManifestError
from training.data.pairs import Pairs, load_pairs
from training.data.truth import Truth, class_balance, find_heads

COLUMNS = Columns(text="name", labels="colour", multi_labels="tags", targets=("price", "size"), split="split")
ROWS = """name,colour,tags,price,size,split
a,red,new|sale,1,1,train
b,red,new,3,2,train
c,red,,5,2,train
d,blue,|,,1,train
e,,sale,9,1,val
f,green,old|new,,,val
"""


def load(folder: Path, text: str = ROWS) -> Pairs:
    path = folder / "rows.csv"
    path.write_text(text)
    return load_pairs(path, COLUMNS, seed=0, val=0.2, test=0.0)


def config_of(pairs: Pairs, **targets: RegressionHead) -> NetworkConfig:
    classes, found = find_heads(pairs, COLUMNS, targets)
    return NetworkConfig(text=RecurrentTextEncoder(), classes=classes, targets=found)


def test_heads_have_the_labels_and_the_scale_of_the_training_rows(tmp_path: Path) -> None:
    config = config_of(load(tmp_path), price=RegressionHead(unit="EUR", mean=7))
    assert {head: (part.labels, part.multi_label) for head, part in config.classes.items()} == {
        "colour": (("blue", "red"), False),
        "tags": (("new", "sale"), True),
    }
    price = config.targets["price"]
    assert (price.mean, price.unit) == (3, "EUR")  # of 1, 3, 5
    assert price.std == pytest.approx(math.sqrt(8 / 3))
    assert (config.targets["size"].mean, config.targets["size"].std) == (1.5, 0.5)
    assert config.single_label_heads == ("colour",)


def test_cells_become_numbers_and_empty_or_unknown_ones_are_masked(tmp_path: Path) -> None:
    pairs = load(tmp_path)
    truth = Truth.of(pairs, config_of(pairs))
    assert truth.labels_NH[:, 0].tolist() == [1, 1, 1, 0, -1, -1]
    nan = math.nan
    tags = [[1, 1], [1, 0], [nan, nan], [0, 0], [0, 1], [1, 0]]  # `old` is unknown
    np.testing.assert_array_equal(truth.label_sets["tags"].numpy(), tags)
    np.testing.assert_allclose(truth.targets_NT[:, 1], [-1, 1, 1, -1, -1, nan])
    assert truth.targets_NT[:, 0].isnan().tolist() == [False, False, False, True, False, True]
    assert truth.targets_NT.dtype == truth.label_sets["tags"].dtype == torch.float32


def test_some_rows_can_be_taken(tmp_path: Path) -> None:
    pairs = load(tmp_path)
    truth = Truth.of(pairs, config_of(pairs))
    for rows in (np.array([4, 0]), torch.tensor([4, 0])):
        part = truth.take(rows)
        assert part.labels_NH[:, 0].tolist() == [-1, 1]
        assert part.label_sets["tags"].tolist() == [[0, 1], [1, 1]]
        assert part.targets_NT[:, 1].tolist() == [-1, -1]


def test_every_column_that_teaches_nothing_is_told(tmp_path: Path) -> None:
    rows = "name,colour,tags,price,size,split\n" + "a,red,new,1,2,train\nb,red,new,1,,train\nc,blue,x,5,6,val\n"
    with pytest.raises(ManifestError) as caught:
        find_heads(load(tmp_path, rows), COLUMNS, {})
    assert [fault.split("column ")[1].split(" in train")[0] for fault in caught.value.faults] == [
        "'colour' has 1 label(s)",
        "'tags' has 1 label(s)",
        "'price' has fewer than two different numbers",
        "'size' has fewer than two different numbers",
    ]


def test_one_number_in_all_rows_teaches_nothing_however_it_is_rounded(tmp_path: Path) -> None:
    rows = ["name,colour,tags,price,size,split", *(f"{n},red,new,0.1,{n},train" for n in "123"), "v,,,,,val"]
    with pytest.raises(ManifestError, match="'price' has fewer than two different numbers"):
        find_heads(load(tmp_path, "\n".join(rows) + "\n"), Columns(text="name", targets="price"), {})


def test_rare_labels_weigh_more_and_empty_cells_count_nowhere(tmp_path: Path) -> None:
    pairs = load(tmp_path)
    config = config_of(pairs)
    train = Truth.of(pairs, config).take(pairs.rows("train"))
    weights = class_balance(train, config, 10.0)
    assert weights["colour"].tolist() == pytest.approx([4 / 2, 4 / (2 * 3)])  # blue 1, red 3, of 4
    assert weights["tags"].tolist() == pytest.approx([1 / 2, 2 / 1])  # of 3 rows, new in 2 and sale in 1
    limited = class_balance(train, config, 1.5)
    assert limited["colour"].tolist() == pytest.approx([1.5, 1 / 1.5])
    assert limited["tags"].tolist() == pytest.approx([1 / 1.5, 1.5])
