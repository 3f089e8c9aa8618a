"""An image encoder that is compiled beside the traffic, for batches of a few sizes.

A batch is padded to the next size that is ready. Until then, and if compiling fails, the encoder runs as it is.

# n rows, S side"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import perf_counter

import torch
from torch import Tensor

from models.nets.encoders import Encoded
from models.nets.encoders.image import ImageEncoder

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Images a batch. More than the last go through in several parts, which no card should mind."""

_LOG = logging.getLogger(__name__)

Run = Callable[[Tensor], Encoded]


class CompiledImageEncoder:
    """Takes an image encoder's place. Any number of threads may call it while it warms up.

    No CUDA graphs (`reduce-overhead`): torch keeps them by thread, and asserts in all but the first
    (pytorch/pytorch#123177).
    """

    def __init__(self, encoder: ImageEncoder, compiler: Callable[..., Run] = torch.compile) -> None:
        """Wrap, without compiling anything yet.

        Args:
            encoder: in evaluation mode, on its device.
            compiler: takes the encoder and torch.compile's options.
        """
        self._encoder = encoder
        self._compiler = compiler
        self._ready: dict[int, Run] = {}

    @property
    def ready(self) -> tuple[int, ...]:
        """The sizes that are compiled."""
        return tuple(self._ready)

    def __call__(self, pixels: Tensor) -> Encoded:
        """As the encoder."""
        largest = SIZES[-1]
        if len(pixels) <= largest or largest not in self._ready:
            return self._run(pixels)
        return _join([self._run(part) for part in torch.split(pixels, largest)])

    def warm_up(
        self, blank: Callable[[int], Tensor], within: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """Compile for every size, the smallest first; stops at the first that fails.

        Args:
            blank: a size → pixels (size, S, S, 3), uint8, on the encoder's device.
            within: the context that forward passes run in. Another would be compiled for in vain.
        """
        for size in SIZES:
            start = perf_counter()
            try:
                # Isolated, or several models would share one limit on recompilations and one list of guards.
                run = self._compiler(self._encoder, dynamic=False, fullgraph=True, isolate_recompiles=True)
                with within():
                    run(blank(size)).vector_nD.sum().item()
            except Exception as error:  # of any kind: the encoder itself still works
                _LOG.warning(
                    "The image encoder is not compiled for %d images, and serves without: %s", size, error
                )
                return
            self._ready = {**self._ready, size: run}
            _LOG.info("The image encoder is compiled for %d images, in %.0f s.", size, perf_counter() - start)

    def start(
        self, blank: Callable[[int], Tensor], within: Callable[[], AbstractContextManager[object]]
    ) -> threading.Thread:
        """`warm_up` in a thread of its own, which does not keep the process alive."""
        thread = threading.Thread(target=self.warm_up, args=(blank, within), name="compile", daemon=True)
        thread.start()
        return thread

    def _run(self, pixels_nSS3: Tensor) -> Encoded:
        count = len(pixels_nSS3)
        size = next((size for size in SIZES if size >= count), count)
        run = self._ready.get(size)
        if run is None:
            return self._encoder(pixels_nSS3)  # type: ignore[no-any-return]
        padding = pixels_nSS3.new_zeros(size - count, *pixels_nSS3.shape[1:])
        return _rows(run(torch.cat([pixels_nSS3, padding]) if size > count else pixels_nSS3), count)


def _rows(encoded: Encoded, count: int) -> Encoded:
    return Encoded(*(None if part is None else part[:count] for part in encoded))  # type: ignore[arg-type]


def _join(parts: list[Encoded]) -> Encoded:
    joined = [None if same[0] is None else torch.cat(same) for same in zip(*parts, strict=True)]
    return Encoded(*joined)  # type: ignore[arg-type]
