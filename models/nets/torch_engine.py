"""The engine for GPUs, and for networks that ONNX cannot express: torch, half precision on a card."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batch import Batch
from models.checkpoint import GRAPH_TENSORS, WEIGHTS, Checkpoint
from models.engine import Floats, Output, scatter
from models.errors import CheckpointError
from models.nets.network import Network


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

    def encode(self, batch: Batch) -> Floats:
        """See `Engine.encode`."""
        with torch.inference_mode(), self._precision():
            vectors = {name: self._encode(batch, name) for name in batch.inputs}
        return scatter(batch, vectors, self._network.config.width)

    def fuse(self, vectors_BMD: Floats, present_BM: NDArray[np.bool_]) -> Output:
        """See `Engine.fuse`. Runs in fp32: it is small, and softmax and norms like the precision."""
        with torch.inference_mode():
            output = self._network.fuse(self._move(vectors_BMD), self._move(present_BM))
        return Output(
            {name: _floats(value) for name, value in output.logits.items()}, _floats(output.embedding_BE)
        )

    def _encode(self, batch: Batch, modality: str) -> Floats:
        inputs = {name: self._move(value) for name, value in batch.inputs[modality].items()}
        return _floats(self._network.encode(modality, inputs))

    def _move(self, array: NDArray[np.generic]) -> Tensor:
        # Pixels cross the bus as uint8 and are normalised on the card.
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.float16, enabled=self._device.type == "cuda")


def _floats(tensor: Tensor) -> Floats:
    return tensor.float().cpu().numpy()
