"""The way of arrays to a device and back. Knows streams and pinned memory; knows nothing of networks."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.engine import Floats


class Transfer:
    """To one device: from every thread by a stream of its own, so that one's copies run beside another's work.

    Pinned memory comes from torch's own pool, which lends a block out again only once the copies that were queued
    from it are done. On a CPU nothing is copied, and a stream is None.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._is_card = device.type == "cuda"
        self._threads = threading.local()

    def stream(self) -> torch.cuda.Stream | None:
        """The calling thread's own."""
        if not self._is_card:
            return None
        if not hasattr(self._threads, "stream"):
            self._threads.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream: torch.cuda.Stream = self._threads.stream
        return stream

    @contextmanager
    def on(self, stream: torch.cuda.Stream | None) -> Iterator[None]:
        """Inference whose work is queued on `stream`."""
        # torch.cuda.stream(None) does nothing, without a card too.
        with torch.inference_mode(), torch.cuda.stream(stream):
            yield

    def upload(self, array: NDArray[np.generic]) -> Tensor:
        """An array as it is (pixels cross the bus as uint8); on a card, returns once the copy is queued."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory().to(self.device, non_blocking=True) if self._is_card else tensor

    def download(self, tensors: Sequence[Tensor]) -> list[Floats]:
        """Tensors of any float type and shape, in order, by one copy and one wait for the current stream."""
        flat = torch.cat([tensor.float().reshape(-1) for tensor in tensors])
        if self._is_card:
            flat = self._fetch(flat)
        arrays = np.split(flat.numpy(), np.cumsum([tensor.numel() for tensor in tensors])[:-1])
        return [part.reshape(tensor.shape) for part, tensor in zip(arrays, tensors, strict=True)]

    def _fetch(self, flat: Tensor) -> Tensor:
        pinned = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
        pinned.copy_(flat, non_blocking=True)
        # A blocking event sleeps. One that spins would take a core from decoding.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record()
        done.synchronize()
        # What is answered may live long, and pinned memory is not for that.
        return pinned.clone(memory_format=torch.contiguous_format)
