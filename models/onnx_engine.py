"""The engine for CPUs: ONNX Runtime over the checkpoint's graphs, all sharing one copy of the weights."""

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.allocation import within_memory
from models.batch import Arrays, Batch
from models.checkpoint import Checkpoint
from models.engine import Encoded, Floats, Frames, Output, scatter
from models.errors import CheckpointError

MAX_PIXELS_PER_RUN = 65_536
"""More than this of images at once is no faster on a CPU, and at 224 pixels a side takes 12 MB for each."""


class OnnxEngine:
    """Runs `encode.<modality>`, `fuse` and `ctc`. A session may be used by several threads at once."""

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
        self._ctc = None
        if config.network.transcript is not None:
            self._ctc = _Session(checkpoint, "ctc", weights, num_threads)

    def encode(self, batch: Batch) -> Encoded:
        """See `Engine.encode`."""
        return within_memory(lambda: self._encode(batch))

    def fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        """See `Engine.fuse`."""
        return within_memory(lambda: self._run_fuse(encoded, present_BM))

    def frames(self, batch: Batch) -> Frames:
        """See `Engine.frames`."""
        if (session := self._ctc) is None:
            raise ValueError("this network has no transcript")
        found = within_memory(lambda: session.run(batch.inputs["audio"]))
        return Frames(found["log_probs"], found["frames"].astype(np.int64))

    def _encode(self, batch: Batch) -> Encoded:
        found = {
            name: _join([self._encoders[name].run(part) for part in _parts(inputs)])
            for name, inputs in batch.inputs.items()
        }
        return scatter(batch, found, self._width)

    def _run_fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        inputs: Arrays = {"vectors": encoded.vectors_BMD, "present": present_BM}
        for name, tokens in encoded.tokens.items():
            inputs |= {f"tokens.{name}": tokens.values_BTD, f"valid.{name}": tokens.valid_BT}
        output = self._fuse.run(inputs)

        def by_head(kind: str) -> dict[str, Floats]:
            return {name.removeprefix(kind): found for name, found in output.items() if name.startswith(kind)}

        return Output(by_head("logits."), output["embedding"], by_head("value."), by_head("log_variance."))


def _join(parts: list[dict[str, Floats]]) -> dict[str, Floats]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _parts(inputs: Arrays) -> list[Arrays]:
    """The rows of one modality in as many parts as keep each within MAX_PIXELS_PER_RUN."""
    pixels_nHWC = inputs.get("pixels")
    if pixels_nHWC is None:
        return [inputs]
    num_rows, height, width, _ = pixels_nHWC.shape
    step = max(1, MAX_PIXELS_PER_RUN // (height * width))
    return [{"pixels": pixels_nHWC[row : row + step]} for row in range(0, num_rows, step)]


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
