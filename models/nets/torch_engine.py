"""The engine for GPUs, and for networks that ONNX cannot express: torch, half precision on a card."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.allocation import within_memory
from models.batch import Batch
from models.checkpoint import GRAPH_TENSORS, WEIGHTS, Checkpoint
from models.engine import Encoded, Floats, Output, scatter
from models.errors import CheckpointError
from models.nets.fusion import Tokens
from models.nets.network import EncodedBatch, Network, join_tokens


class TorchEngine:
    """Runs the network on the first CUDA device if there is one, else on the CPU."""

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, *, num_threads: int = 1) -> None:
        """Build the network and load the checkpoint's weights.

        Raises:
            CheckpointError: if the weights do not fit the network.
        """
        if not torch.cuda.is_available():
            torch.set_num_threads(num_threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.cuda.get_device_name(0) if self._device.type == "cuda" else "cpu"
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
        self._network = network.eval().to(self._device)

    def encode(self, batch: Batch) -> Encoded:
        """See `Engine.encode`."""
        return within_memory(lambda: self._encode(batch), also=torch.OutOfMemoryError, release=self._release)

    def _encode(self, batch: Batch) -> Encoded:
        with torch.inference_mode(), self._precision():
            found = {name: self._run(batch, name) for name in batch.inputs}
        return scatter(batch, found, self._network.config.width)

    def fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        """See `Engine.fuse`. Runs in fp32: it is small, and softmax and norms like the precision."""
        return within_memory(
            lambda: self._fuse(encoded, present_BM), also=torch.OutOfMemoryError, release=self._release
        )

    def _fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        parts = [
            Tokens(
                self._move(part.values_BTD),
                self._move(part.valid_BT),
                torch.full(part.valid_BT.shape, self._network.modalities.index(name), device=self._device),
            )
            for name, part in encoded.tokens.items()
        ]
        with torch.inference_mode():
            moved = EncodedBatch(self._move(encoded.vectors_BMD), join_tokens(parts))
            output = self._network.fuse(moved, self._move(present_BM))
        logits, values, log_variances = (
            {name: _floats(found) for name, found in part.items()} for part in output.heads
        )
        return Output(logits, _floats(output.embedding_BE), values, log_variances)

    def _run(self, batch: Batch, modality: str) -> dict[str, NDArray[np.generic]]:
        inputs = {name: self._move(value) for name, value in batch.inputs[modality].items()}
        encoded = self._network.encode(modality, inputs)
        outputs: dict[str, NDArray[np.generic]] = {"vector": _floats(encoded.vector_nD)}
        if encoded.tokens_nTW is not None and encoded.valid_nT is not None:
            outputs |= {"tokens": _floats(encoded.tokens_nTW), "valid": encoded.valid_nT.cpu().numpy()}
        return outputs

    def _move(self, array: NDArray[np.generic]) -> Tensor:
        # Pixels cross the bus as uint8 and are normalised on the card.
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _release(self) -> None:
        # Blocks that the failed pass left in torch's cache may be too small or of another stream for the next.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.float16, enabled=self._device.type == "cuda")


def _floats(tensor: Tensor) -> Floats:
    return tensor.float().cpu().numpy()
