"""Texts that are being written on a device: the tensors that go from one step to the next.

# R texts, T subwords of a step, t subwords before, V subwords that can be written"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.nets.caption import HIDDEN, CaptionDecoder, KeysValues, Memory
from models.nets.transfer import Transfer


@dataclass(frozen=True, slots=True, eq=False)
class DeviceTexts:
    """`Texts` of tensors.

    items_R: which item each is about; texts with equal items have equal memories.
    ages_R: subwords of each so far; t is the most. A younger text's stand last.
    past: by layer, of the subwords before; None before the first.
    stream: where all that concerns them is queued.
    """

    items_R: NDArray[np.intp]
    ages_R: NDArray[np.int64]
    memory: Memory
    past: tuple[KeysValues, ...] | None
    transfer: Transfer
    stream: torch.cuda.Stream | None

    def __len__(self) -> int:
        """See `Texts.__len__`."""
        return len(self.items_R)

    def take(self, rows: NDArray[np.intp]) -> "DeviceTexts":
        """See `Texts.take`. Where beams of the same items change places, their memories stay."""
        items_R, ages_R = self.items_R[rows], self.ages_R[rows]
        unused = int(self.ages_R.max() - ages_R.max())
        with self.transfer.on(self.stream):
            where, memory, past = self.transfer.upload(rows), self.memory, self.past
            if not np.array_equal(items_R, self.items_R):
                memory = Memory(tuple(_taken(part, where) for part in memory.layers), memory.mask_nS[where])
            if past is not None:
                past = tuple(_taken(part, where, unused) for part in past)
        return DeviceTexts(items_R, ages_R, memory, past, self.transfer, self.stream)

    def join(self, others: "DeviceTexts") -> "DeviceTexts":
        """See `Texts.join`."""
        with self.transfer.on(self.stream):
            layers = zip(self.memory.layers, others.memory.layers, strict=True)
            memory = Memory(
                tuple(_below(one, other, at_end=True) for one, other in layers),
                _masks_below(self.memory.mask_nS, others.memory.mask_nS),
            )
            pairs = zip(_begun(self), _begun(others), strict=True)
            past = tuple(_below(one, other, at_end=False) for one, other in pairs)
        return DeviceTexts(
            np.concatenate([self.items_R, others.items_R + int(self.items_R.max()) + 1]),
            np.concatenate([self.ages_R, others.ages_R]),
            memory,
            past,
            self.transfer,
            self.stream,
        )

    def go_on(self, decoder: CaptionDecoder, ids_RT: NDArray[np.int64]) -> tuple[Tensor, "DeviceTexts"]:
        """Log-probabilities (R, V) of the subword that follows, and the texts with these; on their stream."""
        before, added = 0 if self.past is None else self.past[0].keys.shape[2], ids_RT.shape[1]
        ids, ages_R = self.transfer.upload(ids_RT), self.transfer.upload(self.ages_R)
        positions_RT = ages_R[:, None] + torch.arange(added, device=ids.device)
        # Where in its text each key stands: below 0 is what fills a younger one up.
        places_Rt = torch.arange(before + added, device=ids.device) - (before - ages_R)[:, None]
        unseen_RTt = (places_Rt[:, None] < 0) | (places_Rt[:, None] > positions_RT[:, :, None])
        causal = torch.zeros(unseen_RTt.shape, device=ids.device).masked_fill(unseen_RTt, HIDDEN)[:, None]
        states_RTW, past = decoder.step(ids, positions_RT, causal, self.memory, self.past)
        log_probs_RV = decoder.scores(states_RTW[:, -1:])[:, 0].log_softmax(1)
        return log_probs_RV, DeviceTexts(
            self.items_R, self.ages_R + added, self.memory, past, self.transfer, self.stream
        )


def _begun(texts: DeviceTexts) -> tuple[KeysValues, ...]:
    """Keys and values so far; none, but of their width, before the first subword."""
    if texts.past is not None:
        return texts.past
    return tuple(KeysValues(part.keys[:, :, :0], part.values[:, :, :0]) for part in texts.memory.layers)


def _taken(part: KeysValues, rows: Tensor, unused: int = 0) -> KeysValues:
    return KeysValues(part.keys[rows][:, :, unused:], part.values[rows][:, :, unused:])


def _below(upper: KeysValues, lower: KeysValues, *, at_end: bool) -> KeysValues:
    """Rows below rows; the shorter are filled up with zeros, which nobody looks at."""
    length = max(upper.keys.shape[2], lower.keys.shape[2])

    def filled(part: Tensor) -> Tensor:
        lacking = length - part.shape[2]
        return functional.pad(part, (0, 0, 0, lacking) if at_end else (0, 0, lacking, 0))

    return KeysValues(*(torch.cat([filled(one), filled(other)]) for one, other in zip(upper, lower, strict=True)))


def _masks_below(upper_nS: Tensor, lower_nS: Tensor) -> Tensor:
    length = max(upper_nS.shape[1], lower_nS.shape[1])
    parts = [functional.pad(part, (0, length - part.shape[1]), value=HIDDEN) for part in (upper_nS, lower_nS)]
    return torch.cat(parts)
