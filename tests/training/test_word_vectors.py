from pathlib import Path

import pytest
import torch
from torch import nn

from models.errors import ConfigError
from training.data.tokenizer import train_tokenizer
from training.word_vectors import load_word_vectors

TOKENIZER = train_tokenizer(["red shoe", "red dress", "Red shoe"], 64)


def embedding() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(TOKENIZER.get_vocab_size(), 3)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("header", ["", "3 3\n"])
def test_words_begin_with_their_vectors_and_the_rest_stays(tmp_path: Path, header: str) -> None:
    layer, before = embedding(), embedding().weight
    path = write(tmp_path, f"{header}the 9 9 9\nRed 1 2 3\nred 7 7 7\nshoe 4 5 6\n")
    found, words = load_word_vectors(layer, TOKENIZER, path)
    red, shoe = (TOKENIZER.token_to_id(f"▁{word}") for word in ("red", "shoe"))
    assert layer.weight[red].tolist() == [1, 2, 3]  # the first of several cases
    assert layer.weight[shoe].tolist() == [4, 5, 6]
    others = [row for row in range(len(before)) if row not in (red, shoe)]
    assert torch.equal(layer.weight[others], before[others])
    assert found == 2
    assert words >= 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("red 1 2\n", r"vectors\.txt:1: 2 numbers.*Make it 2"),
        ("x 1 2 3\nred 1 b 3\n", r"vectors\.txt:2: not numbers"),
    ],
)
def test_a_faulty_file_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_word_vectors(embedding(), TOKENIZER, write(tmp_path, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Name a file"):
        load_word_vectors(embedding(), TOKENIZER, tmp_path / "none.txt")
