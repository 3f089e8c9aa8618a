"""A text to subword ids. Unicode, width, case and punctuation are normalised by the tokenizer's own pipeline."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from models.batch import Arrays
from models.config import TextPreprocessing
from models.occlusion import Word
from models.sample import Sample

PAD = "[PAD]"
UNKNOWN = "[UNK]"


class TextPreprocessor:
    """Splits texts into subwords with the checkpoint's tokenizer, at most `max_tokens` of them."""

    def __init__(self, config: TextPreprocessing, tokenizer: Tokenizer) -> None:
        """Take the tokenizer over: its padding is switched off, its truncation set to `max_tokens`."""
        self.config = config
        tokenizer.no_padding()
        tokenizer.enable_truncation(config.max_tokens)
        self._tokenizer = tokenizer
        unknown = tokenizer.token_to_id(UNKNOWN)
        self._unknown_id = 0 if unknown is None else unknown

    def prepare(self, sample: Sample) -> Arrays | None:
        """`ids`: (T,) int64, 1 <= T <= max_tokens; None without text.

        A text of which the normaliser leaves nothing (say, only control characters) is one unknown token.
        """
        if sample.text is None:
            return None
        return self._arrays(self._encode(sample.text))

    def prepare_all(self, texts: Iterable[str]) -> list[Arrays]:
        """`prepare` of many texts at once: the same, many times as fast."""
        return [self._arrays(found) for found in self._tokenizer.encode_batch([self._cut(text) for text in texts])]

    def _arrays(self, encoding: Encoding) -> Arrays:
        return {"ids": np.array(encoding.ids or [self._unknown_id], dtype=np.int64)}

    def words(self, text: str) -> list[Word]:
        """The words as the tokenizer parts them, a punctuation mark being one, as far as the network sees them."""
        encoding = self._encode(text)
        found: dict[int, list[int]] = {}
        for place, number in enumerate(encoding.word_ids):
            if number is not None:  # a special token's is None
                found.setdefault(number, []).append(place)
        words = []
        for places in found.values():
            begin, end = encoding.offsets[places[0]][0], encoding.offsets[places[-1]][1]
            part = text[begin:end]
            start = begin + len(part) - len(part.lstrip())
            end = start + len(part.strip())
            if start < end:
                words.append(Word(start, end, tuple(places)))
        return words

    def _encode(self, text: str) -> Encoding:
        return self._tokenizer.encode(self._cut(text))

    def _cut(self, text: str) -> str:
        # A lone surrogate cannot be encoded as UTF-8 and would be a TypeError in the tokenizer.
        text = text.encode("utf-8", "replace").decode("utf-8")
        # No subword is longer than 100 characters here, so what follows can never reach the network.
        return text[: 100 * self.config.max_tokens]

    def collate(self, items: Sequence[Arrays]) -> Arrays:
        """`ids`: (n, T) int64, padded with 0 on the right; `lengths`: (n,) int64, without the padding."""
        return pad_ids([item["ids"] for item in items])

    def cost(self, arrays: Arrays) -> int:
        """Tokens."""
        return len(arrays["ids"])


def pad_ids(sequences: Sequence[NDArray[np.generic]]) -> Arrays:
    """`ids` (n, T) int64, padded with 0 on the right, and `lengths` (n,) int64 of sequences of ids."""
    lengths = np.array([len(ids) for ids in sequences], dtype=np.int64)
    ids_nT = np.zeros((len(sequences), int(lengths.max())), dtype=np.int64)
    for row, ids in zip(ids_nT, sequences, strict=True):
        row[: len(ids)] = ids
    return {"ids": ids_nT, "lengths": lengths}
