"""The engine for GPUs, and for networks that ONNX cannot express: torch, half precision on a card.

# B batch, M modalities, C classes, E embedding dimensions, n rows that have a modality"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from models.allocation import Result, within_memory
from models.batch import Batch
from models.checkpoint import GRAPH_TENSORS, WEIGHTS, Checkpoint
from models.engine import Encoded, Floats, Frames, Output, Texts, no_frames
from models.errors import CheckpointError, EngineError
from models.nets import precision as precisions
from models.nets.compiled import CompiledImageEncoder
from models.nets.device_encoded import DeviceEncoded, upload
from models.nets.device_texts import DeviceTexts
from models.nets.encoders import Encoded as EncodedRows
from models.nets.network import Network, Outputs
from models.nets.precision import Precision
from models.nets.transfer import Transfer


class TorchEngine:
    """Runs the network on the first CUDA device if there is one, else on the CPU.

    `encode` leaves what it found on the card and returns while the card still works; `fuse` waits once, for one
    copy of all that the heads say. Each calling thread has its own stream, and thereby its own share of torch's
    memory pool: a card's memory divides by the number of threads.
    """

    name = "torch"

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        num_threads: int = 1,
        precision: Precision = "auto",
        compiled: bool = False,
    ) -> None:
        """Build the network and load the checkpoint's weights.

        Args:
            checkpoint: verified, in memory.
            num_threads: CPU threads inside one operator; of no account on a card.
            precision: of the encoders. `auto` is float16 on a card, float32 on a CPU. Fusion and heads are always
                in float32: they are small, and softmax and norms like it.
            compiled: compile the image encoder with torch.compile, beside the traffic: it takes minutes, needs a C
                compiler on the PATH, and until it is done batches run as they would without.

        Raises:
            CheckpointError: if the weights do not fit the network.
            EngineError: no such precision.
        """
        device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        self._is_card = device.type == "cuda"
        if not self._is_card:
            torch.set_num_threads(num_threads)
        self.device = torch.cuda.get_device_name(device) if self._is_card else "cpu"
        self._transfer = Transfer(device)
        self._dtype = precisions.choose(precision, device)
        self._network = self._place(_load_network(checkpoint))
        self._encoders: dict[str, Callable[..., EncodedRows]] = dict(self._network.encoders.items())
        self._compiled: CompiledImageEncoder | None = None
        self._compiling: threading.Thread | None = None
        image = checkpoint.config.preprocessing.image
        if compiled and image is not None:
            self._compile(image.side_px)

    def wait_until_compiled(self) -> tuple[int, ...]:
        """For whoever measures: wait, and tell for how many images at once the encoder is compiled."""
        if self._compiling is not None:
            self._compiling.join()
        return () if self._compiled is None else self._compiled.ready

    def encode(self, batch: Batch) -> Encoded:
        """See `Engine.encode`."""
        return self._within_memory(lambda: self._encode(batch))

    def fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        """See `Engine.fuse`.

        Raises:
            EngineError: the network's numbers are too large for half precision.
        """
        output = self._within_memory(lambda: self._fuse(encoded, present_BM))
        self._check_finite(output.embedding_BE)
        return output

    def frames(self, batch: Batch) -> Frames:
        """See `Engine.frames`.

        Raises:
            EngineError: the network's numbers are too large for half precision.
        """
        transcript = self._network.config.transcript
        if transcript is None:
            raise ValueError("frames need a network with a transcript")
        if "audio" not in batch.inputs:
            return no_frames(len(transcript.tokens))
        frames = self._within_memory(lambda: self._frames(batch))
        self._check_finite(frames.log_probs_nTV)
        return frames

    def begin(self, encoded: Encoded) -> Texts:
        """See `Engine.begin`."""
        return self._within_memory(lambda: self._begin(encoded))

    def write(self, texts: Texts, ids_RT: NDArray[np.int64]) -> tuple[Floats, Texts]:
        """See `Engine.write`.

        Raises:
            EngineError: the network's numbers are too large for half precision.
        """
        assert isinstance(texts, DeviceTexts)  # noqa: S101 - for the type checker
        log_probs_RV, further = self._within_memory(lambda: self._write(texts, ids_RT))
        self._check_finite(log_probs_RV)
        return log_probs_RV, further

    def _begin(self, encoded: Encoded) -> DeviceTexts:
        decoder = self._network.caption
        if decoder is None:
            raise ValueError("texts need a network with a caption")
        held = upload(encoded, self._network.modalities, self._transfer)
        with self._transfer.on(held.stream):
            # In float32, as fusion and heads are: small, and its softmax likes that.
            memory = decoder.remember(held.batch.details)
        count = len(memory.mask_nS)
        return DeviceTexts(np.arange(count), np.zeros(count, np.int64), memory, None, self._transfer, held.stream)

    def _write(self, texts: DeviceTexts, ids_RT: NDArray[np.int64]) -> tuple[Floats, DeviceTexts]:
        decoder = self._network.caption
        assert decoder is not None  # noqa: S101 - there are texts
        with self._transfer.on(texts.stream):
            log_probs_RV, further = texts.go_on(decoder, ids_RT)
            return self._transfer.download([log_probs_RV])[0], further

    def _check_finite(self, found: NDArray[np.float32]) -> None:
        if self._dtype != torch.float32 and not np.isfinite(found).all():
            raise EngineError(
                f"numbers of this network are too large for {self._dtype}. Use INTERMODAL_ENGINE=onnx, or "
                "TorchEngine(precision='float32')."
            )

    def _frames(self, batch: Batch) -> Frames:
        stream = self._transfer.stream()
        with self._forward_context(stream):
            encoded = self._encoders["audio"](**self._uploaded("audio", batch))
        with self._transfer.on(stream):
            # Outside of autocast: the head is small, and a softmax likes float32.
            log_probs_nTV = self._network.frames(_whole(encoded))
            found = [log_probs_nTV, encoded.valid_nT.sum(1)]  # type: ignore[union-attr]
            log_probs, lengths = self._transfer.download(found)
        return Frames(log_probs, lengths.astype(np.int64))

    def _encode(self, batch: Batch) -> DeviceEncoded:
        transfer, network, stream = self._transfer, self._network, self._transfer.stream()
        with self._forward_context(stream):
            # A recurrent encoder asks for its lengths on the host, and so waits for all that is queued before it:
            # images, where the work is, come last.
            raw = {
                name: self._encoders[name](**self._uploaded(name, batch))
                for name in sorted(batch.inputs, key=lambda name: name == "image")
            }
            found = {name: _whole(network.normalise(name, part)) for name, part in raw.items()}
            rows = {name: transfer.upload(batch.rows(name)) for name in found}
            encoded = network.scatter(found, rows, len(batch))
            details = network.spread(
                network.details({name: _whole(part) for name, part in raw.items()}), rows, len(batch)
            )
            encoded = encoded._replace(details=details)
        lengths = {
            name: found[name].tokens_nTW.shape[1] if name in found else None  # type: ignore[union-attr]
            for name in (network.modalities if encoded.tokens is not None else ())
        }
        return DeviceEncoded(encoded, lengths, transfer, stream)

    def _uploaded(self, modality: str, batch: Batch) -> dict[str, torch.Tensor]:
        return {name: self._transfer.upload(value) for name, value in batch.inputs[modality].items()}

    def _fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        held = upload(encoded, self._network.modalities, self._transfer)
        with self._transfer.on(held.stream):
            return self._fetch(self._network.fuse(held.batch, self._transfer.upload(present_BM)))

    def _fetch(self, outputs: Outputs) -> Output:
        tensors = [tensor for kind in outputs.heads for tensor in kind.values()]
        *arrays, embedding_BE = self._transfer.download([*tensors, outputs.embedding_BE])
        found = iter(arrays)
        logits, values, log_variances = ({name: next(found) for name in kind} for kind in outputs.heads)
        return Output(logits, embedding_BE, values, log_variances)

    def _place(self, network: Network) -> Network:
        if self._dtype != torch.float32:
            precisions.hold_weights(network, self._dtype)
        network = network.to(self._transfer.device)
        if self._is_card:
            if "image" in network.encoders:
                # Pixels come as (n, S, S, 3), which is channels-last already, and tensor cores like it.
                network.encoders["image"].to(memory_format=torch.channels_last)
            # The weights were copied on another stream than those that will read them.
            torch.cuda.synchronize()
        return network

    def _compile(self, side_px: int) -> None:
        self._compiled = CompiledImageEncoder(self._network.encoders["image"])  # type: ignore[arg-type]
        self._encoders["image"] = self._compiled
        blank = partial(_blank_pixels, side_px=side_px, device=self._transfer.device)
        self._compiling = self._compiled.start(blank, lambda: self._forward_context(self._transfer.stream()))

    @contextmanager
    def _forward_context(self, stream: torch.cuda.Stream | None) -> Iterator[None]:
        with self._transfer.on(stream), precisions.autocast(self._dtype, self._transfer.device):
            yield

    def _within_memory(self, work: Callable[[], Result]) -> Result:
        # What the failed pass left in torch's pool may be too small, or another stream's, for the next.
        release = torch.cuda.empty_cache if self._is_card else lambda: None
        return within_memory(work, also=torch.OutOfMemoryError, release=release)


def _load_network(checkpoint: Checkpoint) -> Network:
    network = Network(checkpoint.config.network)
    state = {
        name: torch.from_numpy(np.array(value))
        for name, value in checkpoint.weights.items()
        if not name.startswith(GRAPH_TENSORS)
    }
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{checkpoint.path}: {WEIGHTS} does not fit the network: {error}") from error
    return network.eval()


def _whole(encoded: EncodedRows) -> EncodedRows:
    """In float32, whatever the encoder computed in."""
    tokens_nTW = None if encoded.tokens_nTW is None else encoded.tokens_nTW.float()
    details_nTW = None if encoded.details_nTW is None else encoded.details_nTW.float()
    return EncodedRows(encoded.vector_nD.float(), tokens_nTW, encoded.valid_nT, details_nTW)


def _blank_pixels(count: int, *, side_px: int, device: torch.device) -> torch.Tensor:
    return torch.zeros(count, side_px, side_px, 3, dtype=torch.uint8, device=device)
