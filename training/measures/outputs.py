"""What a network gave for many records, by the subset of the modalities that it was shown.

# n records of a subset, q captions, C classes, E embedding dimensions"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Captions(NamedTuple):
    """Every text of every record by itself: the record's index (q,), and an embedding of unit norm (q, E)."""

    rows: NDArray[np.intp]
    embedding_qE: Floats


@dataclass(frozen=True, slots=True, eq=False)
class SubsetOutput:
    """What the network gives when only some modalities are shown.

    rows: indices (n,) of the records that have them all.
    logits: head → (n, C). embedding_nE: unit norm.
    captions: of text alone, where some record has several: all else is of the first.
    values, log_variances: head → (n,), in deviations from the training rows' mean.
    vectors_nD: of one modality alone, what its encoder gave.
    transcripts: of recordings alone, what is heard in each, where the network can tell.
    written: of what a caption looks at, what is written about each, where the network writes.
    """

    rows: NDArray[np.intp]
    logits: Mapping[str, Floats]
    embedding_nE: Floats
    captions: Captions | None = None
    values: Mapping[str, Floats] = field(default_factory=dict)
    log_variances: Mapping[str, Floats] = field(default_factory=dict)
    vectors_nD: Floats | None = None
    transcripts: Sequence[str] | None = None
    written: Sequence[str] | None = None

    def at(self, rows: NDArray[np.intp]) -> "SubsetOutput":
        """The same for some of its rows, in order, without captions."""
        places = np.searchsorted(self.rows, rows)
        logits, values, log_variances = (
            {head: found[places] for head, found in part.items()}
            for part in (self.logits, self.values, self.log_variances)
        )
        return SubsetOutput(rows, logits, self.embedding_nE[places], None, values, log_variances)
