"""An encoder for each modality: its prepared arrays to one vector of width D, and to tokens where they are wanted.

An encoder has two halves. `lower` never changes in training, so its output can be cached; `upper` is what learns.

# n rows that have the modality, T tokens, D width"""

from typing import NamedTuple

from torch import Tensor


class Encoded(NamedTuple):
    """What an encoder gives.

    vector_nD: the whole input in one vector.
    tokens_nTD: its parts, or None where nothing looks at them.
    valid_nT: bool; false for padding. None as above.
    """

    vector_nD: Tensor
    tokens_nTD: Tensor | None = None
    valid_nT: Tensor | None = None
