"""Pretrained word vectors for a text encoder's embeddings: GloVe's, word2vec's or fastText's text format.

Subwords that are whole words begin with the word's vector; the others begin as they would without any.

# W width of a vector"""

from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from models.errors import ConfigError

WORD_START = "▁"  # the tokenizer's mark of a word's beginning


@torch.no_grad()
def load_word_vectors(embedding: nn.Embedding, tokenizer: Tokenizer, path: Path) -> tuple[int, int]:
    """Fill the rows of the words that the file has.

    Args:
        embedding: (V, W), in the order of the tokenizer's ids.
        tokenizer: made by `train_tokenizer`.
        path: a word and W numbers a line; a first line of two numbers is word2vec's header.

    Returns:
        How many words were found, and how many subwords are whole words.

    Raises:
        ConfigError: no such file, a line that is none, or vectors of another width.
    """
    words = {
        token.removeprefix(WORD_START): number
        for token, number in tokenizer.get_vocab().items()
        if token.startswith(WORD_START) and len(token) > 1
    }
    found = 0
    for line, word, numbers in _lines(path):
        row = words.get(word.lower())
        if row is None:
            continue
        try:
            vector_W = torch.tensor([float(number) for number in numbers])
        except ValueError:
            raise ConfigError(
                f"word_vectors {path.name}:{line}: not numbers after the word. Restore it."
            ) from None
        if len(vector_W) != embedding.embedding_dim:
            raise ConfigError(
                f"word_vectors {path.name}:{line}: {len(vector_W)} numbers; network.text.embedding is "
                f"{embedding.embedding_dim}. Make it {len(vector_W)}."
            )
        embedding.weight[row] = vector_W
        # A file may have a word in several cases; the first, the most frequent, stays.
        del words[word.lower()]
        found += 1
    return found, found + len(words)


def _lines(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line number, word, and the numbers as text."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line, text in enumerate(file, start=1):
                word, *numbers = text.rstrip().split(" ")
                if numbers and not (line == 1 and len(numbers) == 1):
                    yield line, word, numbers
    except OSError as error:
        raise ConfigError(
            f"word_vectors {path}: {error.strerror}. Name a file of vectors, or leave it out."
        ) from None
