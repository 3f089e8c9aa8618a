"""Torch to ONNX: the graphs of a checkpoint, sharing one weights file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save
from torch import Tensor, nn

from models.checkpoint import GRAPH_TENSORS, WEIGHTS, Graph
from models.nets.encoders.image import ImageEncoder, Lower
from models.nets.fusion import Tokens
from models.nets.network import EncodedBatch, Network, join_tokens
from training.caption_graphs import caption_graphs
from training.fixed_side import with_fixed_side
from training.tracing import TracedGraph, to_onnx

SHARED_BYTES = 1024  # smaller constants stay inside the graph
_ALIGNMENT_HEADER = 8  # a safetensors file begins with the length of its JSON header, 8 bytes


@dataclass(frozen=True, slots=True)
class Exported:
    """What a checkpoint stores of a network: its graphs, their files, and the one weights file."""

    graphs: dict[str, Graph]
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class EncoderInputs:
    """What an encoder takes, for tracing it: one row of a table of modalities.

    names: inputs in order, as its preprocessor names its arrays.
    samples: two rows of each, of two lengths where lengths differ.
    axes: input → its axes that vary.
    token_axis: name of its tokens' axis T, None where their number never varies.
    """

    names: tuple[str, ...]
    samples: tuple[Tensor, ...]
    axes: Mapping[str, Mapping[int, str]]
    token_axis: str | None


def encoder_inputs(network: Network, side_px: int) -> dict[str, EncoderInputs]:
    """The table, by modality of the network; `side_px` is the side of its images."""
    found: dict[str, EncoderInputs] = {}
    if network.config.image is not None:
        pixels = torch.zeros(2, side_px, side_px, 3, dtype=torch.uint8)
        found["image"] = EncoderInputs(("pixels",), (pixels,), {"pixels": {0: "n"}}, None)
    if network.config.text is not None:
        found["text"] = EncoderInputs(
            ("ids", "lengths"),
            (torch.ones(2, 5, dtype=torch.int64), torch.tensor([5, 3])),
            {"ids": {0: "n", 1: "length"}, "lengths": {0: "n"}},
            "length",
        )
    if network.config.audio is not None:
        found["audio"] = EncoderInputs(
            ("features", "lengths"),
            (torch.zeros(2, 13, network.config.audio.num_mels), torch.tensor([13, 6])),
            {"features": {0: "n", 1: "length"}, "lengths": {0: "n"}},
            "frames",
        )
    if network.config.sensors is not None:
        window = (2, network.config.sensors.steps, network.config.sensors.num_channels)
        found["sensors"] = EncoderInputs(
            ("values", "known"),
            (torch.zeros(window), torch.ones(window, dtype=torch.bool)),
            {"values": {0: "n"}, "known": {0: "n"}},
            None,
        )
    return found


class _Encode(nn.Module):
    def __init__(self, network: Network, modality: str, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.modality, self.names = network, modality, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = self.network.encoders[self.modality](**dict(zip(self.names, inputs, strict=True)))
        encoded = self.network.normalise(self.modality, found)
        details = self.network.details({self.modality: found}).get(self.modality, ())
        return tuple(part for part in (*encoded, *details) if part is not None)


class _Frames(nn.Module):
    """Features of recordings → log-probabilities of tokens, and how many frames each recording has."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        encoded = self.network.encoders["audio"](features, lengths)
        return self.network.frames(encoded), encoded.valid_nT.sum(1)


class _Fuse(nn.Module):
    """Vectors, presence and, where the fusion looks at them, the tokens of each modality and their validity."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, vectors: Tensor, present: Tensor, *tokens: Tensor) -> tuple[Tensor, ...]:
        parts = [
            Tokens(values, valid, torch.full_like(valid, place, dtype=torch.int64))
            for place, (values, valid) in enumerate(zip(tokens[::2], tokens[1::2], strict=True))
        ]
        output = self.network.fuse(EncodedBatch(vectors, join_tokens(parts)), present)
        return (output.embedding_BE, *(found for part in output.heads for found in part.values()))


class _Lower(nn.Module):
    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Lower:
        return self.encoder.lower(pixels)


def export_network(network: Network, side_px: int) -> Exported:
    """Export `encode.<modality>`, `fuse`, and the graphs of heads beside it; one safetensors file for all.

    With a transcript that is `ctc`, with a caption `caption.prefill` and `caption.step`.

    Args:
        network: in evaluation mode, on the CPU.
        side_px: side of the pixels that `encode.image` takes.
    """
    traced = with_fixed_side(network, side_px)
    inputs = encoder_inputs(network, side_px)
    models = {f"encode.{name}": _encoder_graph(traced, name, row) for name, row in inputs.items()}
    models["fuse"] = _fuse_graph(traced)
    if network.transcript is not None:
        models["ctc"] = _frames_graph(traced, inputs["audio"])
    if network.caption is not None:
        models |= caption_graphs(network.caption)
    return _share_weights(network, models)


def _encoder_graph(network: Network, modality: str, row: EncoderInputs) -> TracedGraph:
    caption = network.config.caption
    outputs: tuple[str, ...] = ("vector", "tokens", "valid") if network.config.uses_tokens else ("vector",)
    if caption is not None and modality in caption.reads:
        outputs = (*outputs, "details", "details_valid")
    axes = {**row.axes, **{name: {0: "n"} for name in outputs}}
    if row.token_axis is not None:
        axes |= {name: {0: "n", 1: row.token_axis} for name in outputs[1:]}
    module = _Encode(network, modality, row.names)
    return to_onnx(module, row.samples, row.names, outputs, axes), row.names, outputs


def _frames_graph(network: Network, row: EncoderInputs) -> TracedGraph:
    outputs = ("log_probs", "frame_lengths")
    axes = {**row.axes, "log_probs": {0: "n", 1: "frames"}, "frame_lengths": {0: "n"}}
    return to_onnx(_Frames(network), row.samples, row.names, outputs, axes), row.names, outputs


def _fuse_graph(network: Network) -> TracedGraph:
    width, num_modalities = network.config.width, len(network.modalities)
    inputs = [torch.zeros(2, num_modalities, width), torch.ones(2, num_modalities, dtype=torch.bool)]
    names = ["vectors", "present"]
    axes = {name: {0: "n"} for name in names}
    if network.config.uses_tokens:
        for place, modality in enumerate(network.modalities):
            inputs += [torch.zeros(2, 3 + place, width), torch.ones(2, 3 + place, dtype=torch.bool)]
            own = [f"tokens.{modality}", f"valid.{modality}"]
            axes |= {name: {0: "n", 1: f"length.{modality}"} for name in own}
            names += own
    uncertain = [head for head, config in network.config.targets.items() if config.uncertainty]
    outputs = (
        "embedding",
        *(f"logits.{head}" for head in network.config.classes),
        *(f"value.{head}" for head in network.config.targets),
        *(f"log_variance.{head}" for head in uncertain),
    )
    axes |= {name: {0: "n"} for name in outputs}
    return to_onnx(_Fuse(network), tuple(inputs), names, outputs, axes), tuple(names), outputs


class LowerSession:
    """An image encoder's frozen lower half in ONNX Runtime, which is 2.4 times as fast as eager torch here."""

    def __init__(self, encoder: ImageEncoder, side_px: int) -> None:
        outputs = ("map", "pooled")
        axes = {name: {0: "n"} for name in ("pixels", *outputs)}
        # Traced at its own side: the histogram's pooling and "same" padding are constants of the graph.
        pixels = torch.zeros(2, side_px, side_px, 3, dtype=torch.uint8)
        model = to_onnx(_Lower(encoder), (pixels,), ("pixels",), outputs, axes)
        self._session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, S, S, 3) uint8 → map (n, C, H, W) and pooled features (n, F)."""
        lower_map, pooled = self._session.run(None, {"pixels": np.ascontiguousarray(pixels)})
        return lower_map, pooled


def _share_weights(network: Network, models: Mapping[str, TracedGraph]) -> Exported:
    """Move the graphs' large constants into the weights file; those equal to a weight of the network use it."""
    tensors = {name: np.ascontiguousarray(value.numpy()) for name, value in network.state_dict().items()}
    by_content = {_content_key(value): name for name, value in tensors.items()}
    used: dict[str, list[str]] = {role: [] for role in models}
    for role, (model, _, _) in models.items():
        renamed: dict[str, str] = {}
        for constant in model.graph.initializer:
            value = numpy_helper.to_array(constant)
            if value.nbytes < SHARED_BYTES:
                continue
            name = by_content.setdefault(_content_key(value), f"{GRAPH_TENSORS}{role}/{constant.name}")
            tensors.setdefault(name, np.ascontiguousarray(value))
            renamed[constant.name] = name
            used[role].append(name)
        _rename(model, renamed)
    weights = save(tensors)
    places = _places(weights)
    files = {WEIGHTS: weights}
    graphs = {}
    for role, (model, inputs, outputs) in models.items():
        _point_outside(model, places)
        files[f"{role}.onnx"] = model.SerializeToString()
        graphs[role] = Graph(
            file=f"{role}.onnx", inputs=inputs, outputs=outputs, tensors=tuple(dict.fromkeys(used[role]))
        )
    return Exported(graphs, files)


def _content_key(value: NDArray[np.generic]) -> str:
    return hashlib.sha256(f"{value.dtype}{value.shape}".encode() + value.tobytes()).hexdigest()


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Give initializers the names of the weights that they are, merging those that are equal."""
    kept: dict[str, onnx.TensorProto] = {}
    for constant in model.graph.initializer:
        constant.name = names.get(constant.name, constant.name)
        kept.setdefault(constant.name, constant)
    constants = list(kept.values())
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def _point_outside(model: onnx.ModelProto, places: Mapping[str, tuple[int, int]]) -> None:
    """Replace the data of shared initializers by (file, offset, length)."""
    for constant in model.graph.initializer:
        if constant.name not in places:
            continue
        offset, length = places[constant.name]
        constant.ClearField("raw_data")
        constant.ClearField("float_data")
        constant.ClearField("int64_data")
        constant.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", str(offset)), ("length", str(length))):
            constant.external_data.add(key=key, value=value)


def _places(weights: bytes) -> dict[str, tuple[int, int]]:
    """Offset and length in bytes of every tensor in a safetensors file."""
    header_bytes = int.from_bytes(weights[:_ALIGNMENT_HEADER], "little")
    header = json.loads(weights[_ALIGNMENT_HEADER : _ALIGNMENT_HEADER + header_bytes])
    base = _ALIGNMENT_HEADER + header_bytes
    return {
        name: (base + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }
