"""Captions as numbers, drawn for a step: what a decoder reads, and what it should write next.

Knows rows and subwords; knows no network.

# N rows of the manifest, n rows of a step, R texts (k of each row, one after the other), T subwords"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.subwords import END, START, UNKNOWN
from training.data.pairs import Rows

IGNORED = -100
"""A place where nothing is to be written: what torch's cross-entropy leaves out."""


class Drawn(NamedTuple):
    """Texts of some rows.

    ids_RT: the beginning, and then their subwords. targets_RT: the subword after each, and last the end; IGNORED
    beyond it, and where it is one that is not learnt. hidden_n: rows whose inputs are not to be looked at.
    """

    ids_RT: Tensor
    targets_RT: Tensor
    hidden_n: Tensor


class Written:
    """Every caption of every row."""

    def __init__(self, captions: Sequence[Sequence[Sequence[int]]], max_tokens: int) -> None:
        """Take each row's captions, spelt; what is longer than `max_tokens` is cut, and then has no end."""
        self._captions = captions
        self._max_tokens = max_tokens
        self.has_N = np.array([bool(own) for own in captions], dtype=bool)

    def draw(self, rows: Rows, count: int, blind: float, generator: torch.Generator) -> Drawn:
        """At most `count` of each row's captions, all as likely; and a share `blind` of the rows hidden."""
        most = max([1 << 6, *(len(self._captions[row]) for row in rows)])
        keys = torch.rand((len(rows), most), generator=generator).numpy()
        hidden_n = torch.rand(len(rows), generator=generator) < blind
        texts: list[Sequence[int] | None] = []
        for row, own_keys in zip(rows, keys, strict=True):
            own = self._captions[row]
            order = np.argsort(own_keys[: len(own)])
            texts += _padded([own[place] for place in order[:count]], count)
        return self._drawn(texts, hidden_n)

    def first(self, rows: Rows, count: int) -> Drawn:
        """The first captions of each row, nothing random."""
        texts: list[Sequence[int] | None] = []
        for row in rows:
            texts += _padded(list(self._captions[row][:count]), count)
        return self._drawn(texts, torch.zeros(len(rows), dtype=torch.bool))

    def _drawn(self, texts: Sequence[Sequence[int] | None], hidden_n: Tensor) -> Drawn:
        cut = [None if text is None else text[: self._max_tokens] for text in texts]
        length = 1 + max((len(text) for text in cut if text is not None), default=0)
        ids_RT = np.full((len(texts), length), START, dtype=np.int64)
        targets_RT = np.full((len(texts), length), IGNORED, dtype=np.int64)
        for ids_T, targets_T, text, whole in zip(ids_RT, targets_RT, cut, texts, strict=True):
            if text is None or whole is None:
                continue
            ids_T[1 : 1 + len(text)] = targets_T[: len(text)] = text
            if len(text) == len(whole):
                targets_T[len(text)] = END
        targets_RT[targets_RT == UNKNOWN] = IGNORED
        return Drawn(torch.from_numpy(ids_RT), torch.from_numpy(targets_RT), hidden_n)


def _padded(texts: list[Sequence[int]], count: int) -> list[Sequence[int] | None]:
    return [*texts, *[None] * (count - len(texts))]
