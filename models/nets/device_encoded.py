"""An encoded batch that stays on its device, from the encoders to one or several fusions.

# B batch, M modalities, T tokens of one modality, D width"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.engine import Encoded, Floats, Tokens
from models.nets import fusion
from models.nets.network import EncodedBatch, join_tokens
from models.nets.transfer import Transfer


@dataclass(frozen=True, slots=True, eq=False)
class DeviceEncoded:
    """An `Encoded` of tensors.

    lengths: T by modality, in the network's order; None for a modality that nobody has. Empty without tokens.
    stream: where it was made, and where all that uses it is queued, so that nothing needs to be waited for.
    """

    batch: EncodedBatch
    lengths: Mapping[str, int | None]
    transfer: Transfer
    stream: torch.cuda.Stream | None

    @property
    def vectors_BMD(self) -> Floats:  # noqa: N802 - its axes
        """See `Encoded.vectors_BMD`."""
        with self.transfer.on(self.stream):
            return self.transfer.download([self.batch.vectors_BMD])[0]

    @property
    def tokens(self) -> Mapping[str, Tokens]:
        """See `Encoded.tokens`."""
        if self.batch.tokens is None:
            return {}
        with self.transfer.on(self.stream):
            values_BSD, valid_BS = self.transfer.download([*self.batch.tokens[:1], self.batch.tokens.valid_BS])
        tokens, start = {}, 0
        for name, length in self.lengths.items():
            if length is None:
                # One token that is not valid, as scatter() has it for ONNX graphs.
                blank = np.zeros((len(values_BSD), 1, values_BSD.shape[2]), dtype=np.float32)
                tokens[name] = Tokens(blank, np.zeros(blank.shape[:2], dtype=bool))
                continue
            part = slice(start, start + length)
            tokens[name] = Tokens(values_BSD[:, part], valid_BS[:, part] > 0)
            start += length
        return tokens

    @property
    def details(self) -> Mapping[str, Tokens]:
        """See `Encoded.details`."""
        if not self.batch.details:
            return {}
        with self.transfer.on(self.stream):
            found = self.transfer.download([part for pair in self.batch.details.values() for part in pair])
        return {
            name: Tokens(values_BTW, valid_BT > 0)
            for name, values_BTW, valid_BT in zip(self.batch.details, found[::2], found[1::2], strict=True)
        }

    def take(self, rows: NDArray[np.intp]) -> "DeviceEncoded":
        """See `Encoded.take`."""
        with self.transfer.on(self.stream):
            return replace(self, batch=self.batch.take(self.transfer.upload(rows)))


def upload(encoded: Encoded, modalities: tuple[str, ...], transfer: Transfer) -> DeviceEncoded:
    """What any engine encoded, on the device of `transfer`, which may hold it already.

    Args:
        encoded: anybody's.
        modalities: the network's, in order.
        transfer: the way there.
    """
    if isinstance(encoded, DeviceEncoded) and encoded.transfer is transfer:
        return encoded
    stream = transfer.stream()
    with transfer.on(stream):
        parts = []
        for name, part in encoded.tokens.items():
            valid_BT = transfer.upload(part.valid_BT)
            owner_BT = torch.full_like(valid_BT, modalities.index(name), dtype=torch.int64)
            parts.append(fusion.Tokens(transfer.upload(part.values_BTD), valid_BT, owner_BT))
        details = {
            name: (transfer.upload(part.values_BTD), transfer.upload(part.valid_BT))
            for name, part in encoded.details.items()
        }
        batch = EncodedBatch(transfer.upload(encoded.vectors_BMD), join_tokens(parts), details)
    lengths = {name: part.valid_BT.shape[1] for name, part in encoded.tokens.items()}
    return DeviceEncoded(batch, lengths, transfer, stream)
