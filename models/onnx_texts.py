"""Texts that are being written by ONNX graphs: the arrays that go from one step to the next.

# R texts, S tokens of the memory, T subwords of a step, t subwords before, H heads, A width of a head"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    ages_R: subwords of each so far; t is the most. A younger text's stand last.
    memory: `mask` (R, S), and `cross.keys.<layer>`, `cross.values.<layer>` (R, H, S, A).
    past: `keys.<layer>`, `values.<layer>` (R, H, t, A).
    """

    items_R: NDArray[np.intp]
    ages_R: NDArray[np.int64]
    memory: Arrays
    past: Arrays

    def __len__(self) -> int:
        """See `Texts.__len__`."""
        return len(self.items_R)

    def take(self, rows: NDArray[np.intp]) -> "TextArrays":
        """See `Texts.take`. Where beams of the same items change places, their memories stay."""
        items_R, ages_R, memory = self.items_R[rows], self.ages_R[rows], self.memory
        if not np.array_equal(items_R, self.items_R):
            memory = {name: value[rows] for name, value in memory.items()}
        unused = int(self.ages_R.max() - ages_R.max())
        past = {name: value[rows, :, unused:] for name, value in self.past.items()}
        return TextArrays(items_R, ages_R, memory, past)

    def join(self, others: "TextArrays") -> "TextArrays":
        """See `Texts.join`."""
        first_new = int(self.items_R.max()) + 1
        memory = {name: _below(value, others.memory[name], at_end=True) for name, value in self.memory.items()}
        past = {name: _below(value, others.past[name], at_end=False) for name, value in self.past.items()}
        return TextArrays(
            np.concatenate([self.items_R, others.items_R + first_new]),
            np.concatenate([self.ages_R, others.ages_R]),
            memory,
            past,
        )


def _below(upper: NDArray[Any], lower: NDArray[Any], *, at_end: bool) -> NDArray[Any]:
    """Rows below rows: masks (R, S), or (R, H, S or t, A). The shorter are filled up with what nobody looks at."""
    axis = 1 if upper.ndim == 2 else 2
    length = max(upper.shape[axis], lower.shape[axis])

    def filled(part: NDArray[Any]) -> NDArray[Any]:
        lacking = length - part.shape[axis]
        if not lacking:
            return part
        widths = [(0, 0)] * part.ndim
        widths[axis] = (0, lacking) if at_end else (lacking, 0)
        return np.pad(part, widths, constant_values=LATER if part.ndim == 2 else 0)

    return np.concatenate([filled(upper), filled(lower)])


def begin(run: Run, details: Arrays, num_layers: int) -> TextArrays:
    """Texts without subwords, by the graph `caption.prefill` of each item's details."""
    memory = run(details)
    num_texts, heads, _, width = memory["cross.keys.0"].shape
    nothing = np.zeros((num_texts, heads, 0, width), dtype=np.float32)
    past: Arrays = {f"{kind}.{layer}": nothing for layer in range(num_layers) for kind in ("keys", "values")}
    return TextArrays(np.arange(num_texts), np.zeros(num_texts, np.int64), dict(memory), past)


def write(run: Run, texts: TextArrays, ids_RT: NDArray[np.int64]) -> tuple[Floats, TextArrays]:
    """One step by the graph `caption.step`."""
    before, added = texts.past["keys.0"].shape[2], ids_RT.shape[1]
    positions_RT = texts.ages_R[:, None] + np.arange(added)
    # Where in its text each key stands: below 0 is what fills a younger one up.
    places_Rt = np.arange(before + added) - (before - texts.ages_R)[:, None]
    unseen_RTt = (places_Rt[:, None] < 0) | (places_Rt[:, None] > positions_RT[:, :, None])
    found = run(
        {
            "ids": ids_RT,
            "positions": positions_RT,
            "causal": np.where(unseen_RTt[:, None], np.float32(LATER), np.float32(0)),
            **texts.memory,
            **{f"past.{name}": value for name, value in texts.past.items()},
        }
    )
    log_probs_RV = found.pop("log_probs")
    return log_probs_RV, TextArrays(texts.items_R, texts.ages_R + added, texts.memory, dict(found))
