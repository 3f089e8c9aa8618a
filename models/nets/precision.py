"""Half precision for a network's encoders: which type, which weights are held in it, what computes in it."""

from typing import Literal, get_args

import torch
from torch import nn

from models.errors import EngineError
from models.nets.network import Network

Precision = Literal["auto", "float32", "float16", "bfloat16"]

MATRICES = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.RNNBase)
"""Layers that autocast runs in half. Norms, standardisation and embeddings keep their fp32 weights."""


def choose(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that encoders compute in; `auto` is float16 on a card, float32 on a CPU.

    Not bfloat16 where a card has both: its 8 bits moved scores of `fashion` by up to 0.05, float16's 11 by 0.007.

    Raises:
        EngineError: no such precision.
    """
    if precision not in get_args(Precision):
        raise EngineError(f"precision {precision!r}: choose one of {', '.join(get_args(Precision))}.")
    if precision == "auto":
        precision = "float16" if device.type == "cuda" else "float32"
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[precision]


def hold_weights(network: Network, dtype: torch.dtype) -> None:
    """Convert the encoders' matrices once, as autocast would in every forward pass. Fusion and heads stay fp32."""
    for module in [*network.encoders.modules(), *network.token_layers.modules()]:
        if isinstance(module, MATRICES):
            module.to(dtype)


def autocast(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Around the encoders: matrix products in `dtype`, and in fp32 what autocast knows to need it."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
