"""Torch to ONNX: the graphs of a checkpoint, sharing one weights file."""

import hashlib
import io
import json
import warnings
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
from models.nets.caption import CaptionDecoder, KeysValues, Memory
from models.nets.encoders.image import ImageEncoder, Lower
from models.nets.fusion import Tokens
from models.nets.network import EncodedBatch, Network, join_tokens
from training.fixed_side import with_fixed_side

OPSET = 17
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


class _Prefill(nn.Module):
    """Details and their validity, by modality that is read → the memory: its mask, keys and values by layer."""

    def __init__(self, caption: CaptionDecoder) -> None:
        super().__init__()
        self.decoder = caption

    def forward(self, *details: Tensor) -> tuple[Tensor, ...]:
        parts = zip(self.decoder.config.reads, details[::2], details[1::2], strict=True)
        memory = self.decoder.remember({name: (values, valid) for name, values, valid in parts})
        return (memory.mask_nS, *(part for layer in memory.layers for part in layer))


class _Step(nn.Module):
    """A step of texts, each with a memory of its own → log-probabilities, and keys and values by layer."""

    def __init__(self, caption: CaptionDecoder) -> None:
        super().__init__()
        self.decoder = caption

    def forward(
        self, ids: Tensor, positions: Tensor, causal: Tensor, mask: Tensor, *layers: Tensor
    ) -> tuple[Tensor, ...]:
        pairs = [KeysValues(*pair) for pair in zip(layers[::2], layers[1::2], strict=True)]
        num_layers = self.decoder.config.layers
        memory = Memory(tuple(pairs[:num_layers]), mask)
        states, known = self.decoder.step(ids, positions, causal, memory, pairs[num_layers:])
        return (
            self.decoder.scores(states[:, -1:])[:, 0].log_softmax(1),
            *(part for layer in known for part in layer),
        )


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


_Graph = tuple[onnx.ModelProto, tuple[str, ...], tuple[str, ...]]
"""A role's graph, and its inputs and outputs in order."""


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
        models["caption.prefill"] = _prefill_graph(network.caption)
        models["caption.step"] = _step_graph(network.caption)
    return _share_weights(network, models)


def _encoder_graph(network: Network, modality: str, row: EncoderInputs) -> _Graph:
    caption = network.config.caption
    outputs: tuple[str, ...] = ("vector", "tokens", "valid") if network.config.uses_tokens else ("vector",)
    if caption is not None and modality in caption.reads:
        outputs = (*outputs, "details", "details_valid")
    axes = {**row.axes, **{name: {0: "n"} for name in outputs}}
    if row.token_axis is not None:
        axes |= {name: {0: "n", 1: row.token_axis} for name in outputs[1:]}
    module = _Encode(network, modality, row.names)
    return _to_onnx(module, row.samples, row.names, outputs, axes), row.names, outputs


def _frames_graph(network: Network, row: EncoderInputs) -> _Graph:
    outputs = ("log_probs", "frame_lengths")
    axes = {**row.axes, "log_probs": {0: "n", 1: "frames"}, "frame_lengths": {0: "n"}}
    return _to_onnx(_Frames(network), row.samples, row.names, outputs, axes), row.names, outputs


def _prefill_graph(caption: CaptionDecoder) -> _Graph:
    inputs: list[Tensor] = []
    names: list[str] = []
    axes: dict[str, dict[int, str]] = {"mask": {0: "n", 1: "size"}}
    for place, name in enumerate(caption.config.reads):
        inputs += [torch.zeros(2, 3 + place, caption.width_of(name)), torch.ones(2, 3 + place, dtype=torch.bool)]
        own = [f"details.{name}", f"valid.{name}"]
        axes |= {part: {0: "n", 1: f"length.{name}"} for part in own}
        names += own
    cross = _layer_names("cross.", caption)
    axes |= {name: {0: "n", 2: "size"} for name in cross}
    outputs = ("mask", *cross)
    return _to_onnx(_Prefill(caption), tuple(inputs), names, outputs, axes), tuple(names), outputs


def _step_graph(caption: CaptionDecoder) -> _Graph:
    heads, width = caption.config.heads, caption.config.hidden // caption.config.heads
    num_pairs = 2 * caption.config.layers
    inputs = (
        torch.zeros(2, 2, dtype=torch.int64),
        torch.tensor([[3, 4], [2, 3]]),
        torch.zeros(2, 1, 2, 5),
        torch.zeros(2, 4),
        *(torch.zeros(2, heads, 4, width) for _ in range(num_pairs)),
        *(torch.zeros(2, heads, 3, width) for _ in range(num_pairs)),
    )
    cross, past, known = (_layer_names(kind, caption) for kind in ("cross.", "past.", ""))
    names, outputs = ("ids", "positions", "causal", "mask", *cross, *past), ("log_probs", *known)
    axes = {
        "ids": {0: "n", 1: "added"},
        "positions": {0: "n", 1: "added"},
        "causal": {0: "n", 2: "added", 3: "whole"},
        "mask": {0: "n", 1: "size"},
        "log_probs": {0: "n"},
        **{name: {0: "n", 2: "size"} for name in cross},
        **{name: {0: "n", 2: "before"} for name in past},
        **{name: {0: "n", 2: "whole"} for name in known},
    }
    return _to_onnx(_Step(caption), inputs, names, outputs, axes), names, outputs


def _layer_names(kind: str, caption: CaptionDecoder) -> tuple[str, ...]:
    return tuple(f"{kind}{part}.{layer}" for layer in range(caption.config.layers) for part in ("keys", "values"))


def _fuse_graph(network: Network) -> _Graph:
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
    return _to_onnx(_Fuse(network), tuple(inputs), names, outputs, axes), tuple(names), outputs


class LowerSession:
    """An image encoder's frozen lower half in ONNX Runtime, which is 2.4 times as fast as eager torch here."""

    def __init__(self, encoder: ImageEncoder, side_px: int) -> None:
        outputs = ("map", "pooled")
        axes = {name: {0: "n"} for name in ("pixels", *outputs)}
        # Traced at its own side: the histogram's pooling and "same" padding are constants of the graph.
        pixels = torch.zeros(2, side_px, side_px, 3, dtype=torch.uint8)
        model = _to_onnx(_Lower(encoder), (pixels,), ("pixels",), outputs, axes)
        self._session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, S, S, 3) uint8 → map (n, C, H, W) and pooled features (n, F)."""
        lower_map, pooled = self._session.run(None, {"pixels": np.ascontiguousarray(pixels)})
        return lower_map, pooled


def _to_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: Sequence[str],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter warns of its own retirement and of the packed sequence's batch size; it is the one
        # that keeps a GRU's sequence lengths, and tests/training/test_export.py compares batches of other sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            inputs,
            buffer,  # type: ignore[arg-type]  # the tracing exporter takes a file object
            input_names=list(names),
            output_names=list(outputs),
            dynamic_axes={name: dict(part) for name, part in axes.items()},
            opset_version=OPSET,
            # Keeps BatchNorm apart, so that the graph shares the network's own weights; ONNX Runtime folds it.
            training=torch.onnx.TrainingMode.PRESERVE,
            # Or a linear layer's weights, transposed, and a GRU's, in another order, would be stored once more.
            # ONNX Runtime does that when it loads the graph, and gives the same numbers to the bit.
            do_constant_folding=False,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(model)
    return model


def _share_weights(network: Network, models: Mapping[str, _Graph]) -> Exported:
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
