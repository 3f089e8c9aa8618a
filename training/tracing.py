"""A module of torch's to an ONNX graph. Knows modules and axes; knows no networks and no files."""

import io
import warnings
from collections.abc import Mapping, Sequence

import onnx
import torch
from torch import Tensor, nn

OPSET = 17

TracedGraph = tuple[onnx.ModelProto, tuple[str, ...], tuple[str, ...]]
"""A role's graph, and its inputs and outputs in order."""


def to_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: Sequence[str],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> onnx.ModelProto:
    """Trace `module` with `inputs`; `axes` that vary have names."""
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
