"""The engine for CPUs: ONNX Runtime over the checkpoint's graphs, all sharing one copy of the weights."""

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.batch import Batch
from models.checkpoint import Checkpoint
from models.engine import Floats, Output, scatter
from models.errors import CheckpointError


class OnnxEngine:
    """Runs `encode.<modality>` and `fuse`. A session may be used by several threads at once."""

    name = "onnx"
    device = "cpu"

    def __init__(self, checkpoint: Checkpoint, *, num_threads: int = 1) -> None:
        """Create a session for each graph of the checkpoint.

        Args:
            checkpoint: verified, in memory.
            num_threads: threads inside one operator. One each for several workers beats several for one.

        Raises:
            CheckpointError: if a graph cannot be loaded.
        """
        config = checkpoint.config
        weights = {name: ort.OrtValue.ortvalue_from_numpy(value) for name, value in checkpoint.weights.items()}
        self._width = config.network.width
        self._encoders = {
            name: _Session(checkpoint, f"encode.{name}", weights, num_threads)
            for name in config.network.modalities
        }
        self._fuse = _Session(checkpoint, "fuse", weights, num_threads)

    def encode(self, batch: Batch) -> Floats:
        """See `Engine.encode`."""
        vectors = {name: self._encoders[name].run(batch.inputs[name])["vector"] for name in batch.inputs}
        return scatter(batch, vectors, self._width)

    def fuse(self, vectors_BMD: Floats, present_BM: NDArray[np.bool_]) -> Output:
        """See `Engine.fuse`."""
        output = self._fuse.run({"vectors": vectors_BMD, "present": present_BM})
        embedding = output.pop("embedding")
        return Output({name.removeprefix("logits."): value for name, value in output.items()}, embedding)


class _Session:
    """One graph. Its external tensors are handed over from memory, so no file is mapped."""

    def __init__(
        self, checkpoint: Checkpoint, role: str, weights: dict[str, ort.OrtValue], num_threads: int
    ) -> None:
        graph = checkpoint.config.graphs.get(role)
        if graph is None:
            raise CheckpointError(f"{checkpoint.path}: no graph {role!r}. Export the checkpoint again.")
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: they reach the caller as exceptions
        # With one busy neighbour on the machine, spinning threads multiply a request's time by up to thirty.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        try:
            options.add_external_initializers(list(graph.tensors), [weights[name] for name in graph.tensors])
            self._session: Any = ort.InferenceSession(
                checkpoint.contents[graph.file], options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise CheckpointError(f"{checkpoint.path}: {graph.file} cannot be loaded: {error}") from error
        self._outputs = list(graph.outputs)

    def run(self, inputs: Any) -> dict[str, Floats]:
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
