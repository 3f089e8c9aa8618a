"""What computes: from a Batch to raw arrays. The interface that every engine keeps.

# B batch, M modalities, D width, C classes, E embedding dimensions, n rows that have a modality, R texts,
# T frames of a recording, or tokens, V tokens of a transcript, or subwords of a caption, W width of details"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch

Floats = NDArray[np.float32]


class Tokens(NamedTuple):
    """One modality's tokens in a batch: (B, T, D) float32, and (B, T) bool, false for padding and absent items."""

    values_BTD: Floats
    valid_BT: NDArray[np.bool_]


class Encoded(Protocol):
    """A batch after its encoders, held where its engine likes it. Reading an array may bring it from a card."""

    @property
    def vectors_BMD(self) -> Floats:  # noqa: N802 - its axes
        """float32, zero where a modality is absent."""

    @property
    def tokens(self) -> Mapping[str, Tokens]:
        """By modality, for every modality of the network where its fusion looks at tokens; else empty."""

    @property
    def details(self) -> Mapping[str, Tokens]:
        """By modality that a caption looks at, what its encoder found, of a width of its own; else empty."""

    def take(self, rows: NDArray[np.intp]) -> "Encoded":
        """Some items, by index, in that order; they stay where they are held."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedArrays:
    """An `Encoded` in the host's memory."""

    vectors_BMD: Floats
    tokens: Mapping[str, Tokens] = field(default_factory=dict)
    details: Mapping[str, Tokens] = field(default_factory=dict)

    def take(self, rows: NDArray[np.intp]) -> "EncodedArrays":
        """See `Encoded.take`."""
        tokens, details = (
            {name: Tokens(part.values_BTD[rows], part.valid_BT[rows]) for name, part in kind.items()}
            for kind in (self.tokens, self.details)
        )
        return EncodedArrays(self.vectors_BMD[rows], tokens, details)


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """A forward pass, as raw arrays.

    logits: head → (B, C) float32.
    embedding_BE: float32, unit norm.
    values: head → (B,) float32, in deviations from the training rows' mean.
    log_variances: head → (B,) float32, of those values, for the heads that predict their uncertainty.
    """

    logits: dict[str, Floats]
    embedding_BE: Floats
    values: dict[str, Floats] = field(default_factory=dict)
    log_variances: dict[str, Floats] = field(default_factory=dict)


class Frames(NamedTuple):
    """What a CTC head says of recordings: (n, T, V) float32 log-probabilities, and (n,) int64: frames."""

    log_probs_nTV: Floats
    lengths_n: NDArray[np.int64]


def no_frames(num_tokens: int) -> Frames:
    """Of no recording at all: (0, 0, V)."""
    return Frames(np.zeros((0, 0, num_tokens), dtype=np.float32), np.zeros(0, dtype=np.int64))


class Texts(Protocol):
    """R texts that are being written: what each looks at, and its subwords so far, held where its engine likes."""

    def __len__(self) -> int:
        """R."""

    def take(self, rows: NDArray[np.intp]) -> "Texts":
        """Some texts, by index, in that order; one may be taken several times, to be gone on with differently."""

    def join(self, others: Any) -> "Texts":
        """These texts and then the others, of the same engine, however far each has come."""


class Engine(Protocol):
    """A network ready to run. All calls may be made from several threads at once.

    All raise EngineMemoryError where there is no memory for so many items, and can then be called with fewer.
    """

    name: str
    """`onnx` or `torch`, for people."""

    device: str
    """`cpu`, or the accelerator's name, for people."""

    def encode(self, batch: Batch) -> Encoded:
        """Run each encoder on the rows that have its modality, and on no others.

        An engine with a card may return once the work is queued.
        """

    def fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        """Fuse what is present and run every head. Each row needs at least one modality.

        `encoded` may be of any engine whose network has the same width and modalities.
        """

    def frames(self, batch: Batch) -> Frames:
        """Run the CTC head on the rows that have a recording, in item order. For a network with `transcript`.

        Raises:
            ValueError: the network has none.
        """

    def begin(self, encoded: Encoded) -> Texts:
        """One text about each item, nothing written yet. For a network with `caption`.

        Raises:
            ValueError: the network has none.
        """

    def write(self, texts: Texts, ids_RT: NDArray[np.int64]) -> tuple[Floats, Texts]:
        """Go on with T subwords each: log-probabilities (R, V) of the one that follows, and the texts with them.

        `texts` is not changed. It must be of this engine.
        """


def scatter(
    batch: Batch,
    found: Mapping[str, Mapping[str, NDArray[np.generic]]],
    width: int,
    details: Mapping[str, int] = MappingProxyType({}),
) -> EncodedArrays:
    """Each modality's rows, in item order, to their places in the batch; zeros elsewhere.

    Args:
        batch: says which rows have which modality.
        found: modality → its encoder's outputs: `vector` (n, D) and, with tokens, `tokens` (n, T, D) and `valid`
            (n, T); where a caption looks at it, `details` (n, T, W) and `details_valid`.
        width: D.
        details: modality → W, of those that a caption looks at.
    """
    vectors_BMD = np.zeros((len(batch), len(batch.modalities), width), dtype=np.float32)
    with_tokens = any("tokens" in outputs for outputs in found.values())
    tokens: dict[str, Tokens] = {}
    seen: dict[str, Tokens] = {}
    for column, modality in enumerate(batch.modalities):
        outputs, rows = found.get(modality, {}), batch.rows(modality)
        if outputs:
            vectors_BMD[rows, column] = outputs["vector"]
        if with_tokens:
            tokens[modality] = _spread(len(batch), rows, width, outputs.get("tokens"), outputs.get("valid"))
        if modality in details:
            own = outputs.get("details"), outputs.get("details_valid")
            seen[modality] = _spread(len(batch), rows, details[modality], *own)
    return EncodedArrays(vectors_BMD, tokens, seen)


def _spread(
    count: int,
    rows: NDArray[np.intp],
    width: int,
    values_nTW: NDArray[np.generic] | None,
    valid_nT: NDArray[np.generic] | None,
) -> Tokens:
    """Tokens of some rows in a batch of `count`."""
    # One token that is not valid stands for a modality that nobody has: an empty axis is for no graph.
    length = 1 if values_nTW is None else values_nTW.shape[1]
    part = Tokens(np.zeros((count, length, width), dtype=np.float32), np.zeros((count, length), dtype=bool))
    if values_nTW is not None and valid_nT is not None:
        part.values_BTD[rows], part.valid_BT[rows] = values_nTW, valid_nT
    return part
