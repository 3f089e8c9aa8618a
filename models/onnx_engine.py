"""The engine for CPUs: ONNX Runtime over the checkpoint's graphs, all sharing one copy of the weights."""

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models import onnx_texts
from models.allocation import within_memory
from models.batch import Arrays, Batch
from models.checkpoint import Checkpoint
from models.engine import Encoded, Floats, Frames, Output, Texts, no_frames, scatter
from models.errors import CheckpointError

MAX_PIXELS_PER_RUN = 65_536
"""More than this of images at once is no faster on a CPU, and at 224 pixels a side takes 12 MB for each."""

MAX_FEATURES_PER_RUN = 1_600
"""16 s of recordings at 10 ms a feature: more at once is no faster on a CPU, and takes 0.8 MB a second."""


class OnnxEngine:
    """Runs `encode.<modality>`, `fuse` and, for transcripts, `ctc`, for captions `caption.*`.

    Several threads may use a session at once.
    """

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
        transcript = config.network.transcript
        self._num_tokens = 0 if transcript is None else len(transcript.tokens)
        self._ctc = None if transcript is None else _Session(checkpoint, "ctc", weights, num_threads)
        caption = config.network.caption
        self._details: dict[str, int] = {}
        if caption is not None:
            self._num_layers = caption.layers
            self._prefill = _Session(checkpoint, "caption.prefill", weights, num_threads)
            self._step = _Session(checkpoint, "caption.step", weights, num_threads)
            shapes = self._prefill.widths()
            self._details = {name: shapes[f"details.{name}"] for name in caption.reads}

    def encode(self, batch: Batch) -> Encoded:
        """See `Engine.encode`."""
        return within_memory(lambda: self._encode(batch))

    def fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        """See `Engine.fuse`."""
        return within_memory(lambda: self._run_fuse(encoded, present_BM))

    def frames(self, batch: Batch) -> Frames:
        """See `Engine.frames`."""
        return within_memory(lambda: self._frames(batch))

    def begin(self, encoded: Encoded) -> Texts:
        """See `Engine.begin`."""
        if not self._details:
            raise ValueError("texts need a network with a caption")
        details: Arrays = {}
        for name, part in encoded.details.items():
            details |= {f"details.{name}": part.values_BTD, f"valid.{name}": part.valid_BT}
        return within_memory(lambda: onnx_texts.begin(self._prefill.run, details, self._num_layers))

    def write(self, texts: Texts, ids_RT: NDArray[np.int64]) -> tuple[Floats, Texts]:
        """See `Engine.write`."""
        assert isinstance(texts, onnx_texts.TextArrays)  # noqa: S101 - for the type checker
        return within_memory(lambda: onnx_texts.write(self._step.run, texts, ids_RT))

    def _encode(self, batch: Batch) -> Encoded:
        found = {
            name: _join([self._encoders[name].run(part) for part in _parts(inputs)])
            for name, inputs in batch.inputs.items()
        }
        return scatter(batch, found, self._width, self._details)

    def _run_fuse(self, encoded: Encoded, present_BM: NDArray[np.bool_]) -> Output:
        inputs: Arrays = {"vectors": encoded.vectors_BMD, "present": present_BM}
        for name, tokens in encoded.tokens.items():
            inputs |= {f"tokens.{name}": tokens.values_BTD, f"valid.{name}": tokens.valid_BT}
        output = self._fuse.run(inputs)

        def by_head(kind: str) -> dict[str, Floats]:
            return {name.removeprefix(kind): found for name, found in output.items() if name.startswith(kind)}

        return Output(by_head("logits."), output["embedding"], by_head("value."), by_head("log_variance."))

    def _frames(self, batch: Batch) -> Frames:
        if self._ctc is None:
            raise ValueError("frames need a network with a transcript")
        inputs = batch.inputs.get("audio")
        if inputs is None:
            return no_frames(self._num_tokens)
        found = _join([self._ctc.run(part) for part in _parts(inputs)])
        return Frames(found["log_probs"], found["frame_lengths"].astype(np.int64))


def _join(parts: list[dict[str, Floats]]) -> dict[str, Floats]:
    """Rows below rows. Where parts have other numbers of tokens, the shorter are padded with zeros."""
    if len(parts) == 1:
        return parts[0]
    return {name: _concatenate([part[name] for part in parts]) for name in parts[0]}


def _concatenate(arrays: list[Floats]) -> Floats:
    shape = (sum(map(len, arrays)), *np.max([array.shape[1:] for array in arrays], axis=0))
    whole = np.zeros(shape, dtype=arrays[0].dtype)
    start = 0
    for array in arrays:
        whole[(slice(start, start + len(array)), *map(slice, array.shape[1:]))] = array
        start += len(array)
    return whole


def _parts(inputs: Arrays) -> list[Arrays]:
    """The rows of one modality in as many parts as keep each within the limits above, or has one row."""
    if "pixels" in inputs:
        _, height, width, _ = inputs["pixels"].shape
        step = max(1, MAX_PIXELS_PER_RUN // (height * width))
        return [_rows(inputs, slice(row, row + step)) for row in range(0, len(inputs["pixels"]), step)]
    if "features" in inputs:
        return [_trimmed(_rows(inputs, part)) for part in _runs(inputs["lengths"])]
    return [inputs]


def _rows(inputs: Arrays, part: slice) -> Arrays:
    return {name: array[part] for name, array in inputs.items()}


def _trimmed(inputs: Arrays) -> Arrays:
    """Recordings without the padding that only other parts need."""
    return {**inputs, "features": inputs["features"][:, : int(inputs["lengths"].max())]}


def _runs(lengths_n: NDArray[np.generic]) -> list[slice]:
    """Neighbours that, padded to the longest of them, are within MAX_FEATURES_PER_RUN."""
    runs, start, longest = [], 0, 0
    for row, length in enumerate(lengths_n.tolist()):
        longest = max(longest, length)
        if row > start and longest * (row + 1 - start) > MAX_FEATURES_PER_RUN:
            runs.append(slice(start, row))
            start, longest = row, length
    return [*runs, slice(start, len(lengths_n))]


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

    def widths(self) -> dict[str, int]:
        """By input, the length of its last axis, where that is fixed."""
        shapes = {part.name: part.shape for part in self._session.get_inputs()}
        return {name: shape[-1] for name, shape in shapes.items() if shape and isinstance(shape[-1], int)}
