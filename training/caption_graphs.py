"""The graphs that a caption is written by: `caption.prefill` once for an item, `caption.step` for each subword.

A step's keys and values are inputs of their own, layer by layer: what a step does not change is not copied."""

import torch
from torch import Tensor, nn

from models.nets.caption import CaptionDecoder, KeysValues, Memory
from training.tracing import TracedGraph, to_onnx


def caption_graphs(decoder: CaptionDecoder) -> dict[str, TracedGraph]:
    """The decoder's graphs by role."""
    return {"caption.prefill": _prefill_graph(decoder), "caption.step": _step_graph(decoder)}


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


def _prefill_graph(caption: CaptionDecoder) -> TracedGraph:
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
    return to_onnx(_Prefill(caption), tuple(inputs), names, outputs, axes), tuple(names), outputs


def _step_graph(caption: CaptionDecoder) -> TracedGraph:
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
    return to_onnx(_Step(caption), inputs, names, outputs, axes), names, outputs


def _layer_names(kind: str, caption: CaptionDecoder) -> tuple[str, ...]:
    return tuple(f"{kind}{part}.{layer}" for layer in range(caption.config.layers) for part in ("keys", "values"))
