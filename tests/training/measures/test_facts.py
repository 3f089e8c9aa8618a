from pathlib import Path

from models.columns import Columns
from models.config import ClassificationHead, NetworkConfig
from tests.tiny import write_pairs
from training.data.pairs import Pairs, load_pairs
from training.measures.facts import describe

COLUMNS = Columns.model_validate(
    {"image": "image", "text": "name", "labels": ["shape", "colour"], "split": "split", "group": ["name"]}
)
CLASSES = {
    "shape": ClassificationHead(labels=("circle", "square", "star")),
    "colour": ClassificationHead(labels=("blue", "red")),
}
NETWORK = NetworkConfig.model_validate({**NetworkConfig.tiny().model_dump(), "classes": CLASSES})


def pairs_of(path: Path) -> Pairs:
    return load_pairs(path, COLUMNS, seed=0, val=0.1, test=0.1)


def test_rows_duplicates_and_rare_labels_are_counted(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    path.write_text(path.read_text().replace("a blue circle 6", "a blue circle 0"))
    facts = describe(pairs_of(path), NETWORK)
    assert (facts["manifest"], facts["rows"], facts["images"]) == ("pairs.csv", 24, 23)
    assert facts["splits"] == {"train": 16, "val": 4, "test": 4}
    # 6.png is a blue circle, so its text is now that of row 0.
    assert facts["repeated"] == {"image": 1, "name": 1}
    assert facts["missing"] == {}
    assert facts["labels"] == {"shape": 3, "colour": 2}
    # Of 16 training rows, each of three shapes has fewer than ten, 12 are blue and 4 red.
    assert facts["rare_labels"] == {"shape": 3, "colour": 1}


def test_empty_cells_are_counted_by_split(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    text = (
        path.read_text().replace("\n0.png,", "\n,").replace("a red square 4,", ",").replace("circle,blue", ",blue")
    )
    path.write_text(text)
    facts = describe(pairs_of(path), NETWORK)
    assert facts["missing"]["image"] == {"train": 1, "val": 0, "test": 0}
    assert facts["missing"]["text"] == {"train": 0, "val": 1, "test": 0}
    assert sum(facts["missing"]["shape"].values()) == 4
    assert "colour" not in facts["missing"]


def test_without_training_rows_no_label_is_called_rare(tmp_path: Path) -> None:
    path = write_pairs(tmp_path)
    path.write_text(path.read_text().replace(",train", ",val"))
    assert describe(pairs_of(path), NETWORK)["rare_labels"] == {}
