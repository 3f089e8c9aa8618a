"""Texts that are being written on a device: the tensors that go from one step to the next.

# R texts, T subwords of a step, t subwords before, V subwords that can be written"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.nets.caption import HIDDEN, CaptionDecoder, KeysValues, Memory
from models.nets.transfer import Transfer


@dataclass(frozen=True, slots=True, eq=False)
class DeviceTexts:
    """`Texts` of tensors.

    items_R: which item each is about; texts with equal items have equal memories.
    past: by layer, of the subwords before; None before the first.
    stream: where all that concerns them is queued.
    """

    items_R: NDArray[np.intp]
    memory: Memory
    past: tuple[KeysValues, ...] | None
    transfer: Transfer
    stream: torch.cuda.Stream | None

    def __len__(self) -> int:
        """See `Texts.__len__`."""
        return len(self.items_R)

    def take(self, rows: NDArray[np.intp]) -> "DeviceTexts":
        """See `Texts.take`. Where beams of the same items change places, their memories stay."""
        items_R = self.items_R[rows]
        with self.transfer.on(self.stream):
            where, memory, past = self.transfer.upload(rows), self.memory, self.past
            if not np.array_equal(items_R, self.items_R):
                memory = Memory(tuple(_taken(part, where) for part in memory.layers), memory.mask_nS[where])
            if past is not None:
                past = tuple(_taken(part, where) for part in past)
        return DeviceTexts(items_R, memory, past, self.transfer, self.stream)

    def go_on(self, decoder: CaptionDecoder, ids_RT: NDArray[np.int64]) -> tuple[Tensor, "DeviceTexts"]:
        """Log-probabilities (R, V) of the subword that follows, and the texts with these; on their stream."""
        before = 0 if self.past is None else self.past[0].keys.shape[2]
        ids = self.transfer.upload(ids_RT)
        positions_T = torch.arange(before, before + ids.shape[1], device=ids.device)
        later_Tt = torch.arange(before + ids.shape[1], device=ids.device) > positions_T[:, None]
        causal_Tt = torch.zeros(later_Tt.shape, device=ids.device).masked_fill(later_Tt, HIDDEN)
        states_RTW, past = decoder.step(ids, positions_T, causal_Tt, self.memory, self.past)
        log_probs_RV = decoder.scores(states_RTW[:, -1:])[:, 0].log_softmax(1)
        return log_probs_RV, DeviceTexts(self.items_R, self.memory, past, self.transfer, self.stream)


def _taken(part: KeysValues, rows: Tensor) -> KeysValues:
    return KeysValues(part.keys[rows], part.values[rows])
