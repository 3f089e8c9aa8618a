"""Texts that are being written by ONNX graphs: the arrays that go from one step to the next.

# R texts, S tokens of the memory, T subwords of a step, t subwords before, H heads, A width of a head"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.batch import Arrays
from models.engine import Floats

LATER = -1e4
"""Added to the score of a subword that comes later, as `models.nets.caption` has it."""

Run = Callable[[Arrays], dict[str, Floats]]


@dataclass(frozen=True, slots=True, eq=False)
class TextArrays:
    """`Texts` in the host's memory.

    Each layer's keys and values are arrays of their own: what a step does not change goes into the next as it is.

    items_R: which item of `begin` each is about; texts with equal items have equal memories.
    memory: `mask` (R, S), and `cross.keys.<layer>`, `cross.values.<layer>` (R, H, S, A).
    past: `keys.<layer>`, `values.<layer>` (R, H, t, A).
    """

    items_R: NDArray[np.intp]
    memory: Arrays
    past: Arrays

    def __len__(self) -> int:
        """See `Texts.__len__`."""
        return len(self.items_R)

    def take(self, rows: NDArray[np.intp]) -> "TextArrays":
        """See `Texts.take`. Where beams of the same items change places, their memories stay."""
        items_R, memory = self.items_R[rows], self.memory
        if not np.array_equal(items_R, self.items_R):
            memory = {name: value[rows] for name, value in memory.items()}
        return TextArrays(items_R, memory, {name: value[rows] for name, value in self.past.items()})


def begin(run: Run, details: Arrays, num_layers: int) -> TextArrays:
    """Texts without subwords, by the graph `caption.prefill` of each item's details."""
    memory = run(details)
    num_texts, heads, _, width = memory["cross.keys.0"].shape
    nothing = np.zeros((num_texts, heads, 0, width), dtype=np.float32)
    past: Arrays = {f"{kind}.{layer}": nothing for layer in range(num_layers) for kind in ("keys", "values")}
    return TextArrays(np.arange(num_texts), dict(memory), past)


def write(run: Run, texts: TextArrays, ids_RT: NDArray[np.int64]) -> tuple[Floats, TextArrays]:
    """One step by the graph `caption.step`."""
    before, added = texts.past["keys.0"].shape[2], ids_RT.shape[1]
    positions_T = np.arange(before, before + added)
    later_Tt = np.arange(before + added) > positions_T[:, None]
    found = run(
        {
            "ids": ids_RT,
            "positions": positions_T,
            "causal": np.where(later_Tt, np.float32(LATER), np.float32(0)),
            **texts.memory,
            **{f"past.{name}": value for name, value in texts.past.items()},
        }
    )
    log_probs_RV = found.pop("log_probs")
    return log_probs_RV, TextArrays(texts.items_R, texts.memory, dict(found))
