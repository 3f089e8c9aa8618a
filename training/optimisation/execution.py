"""How the encoders are run while a stage trains: number format, compiled, or with activations computed anew.

None of it changes what is trained or saved: only the encoders' passes are affected, and only within the stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from models.nets.encoders.image import ImageEncoder
from models.nets.network import Network
from training.recipe import Stage

FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def number_format(precision: str, device: torch.device) -> torch.dtype:
    """What a stage's `precision` means on a device; `auto` is fp32 on a CPU, where halves gain nothing."""
    if precision == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return FORMATS.get(precision, torch.float32)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The encoders' passes in that format. Fusion, heads and losses stay in fp32, as when serving."""
    dtype = number_format(precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Keeps the small gradients of fp16 from becoming zero; with other formats it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=number_format(precision, device) == torch.float16)


@contextmanager
def executed(network: Network, stage: Stage) -> Iterator[None]:
    """While entered, the image encoder's upper blocks run as the stage says.

    Block by block: each is one of few shapes, so compiling is quick, and a block's inner activations are what is
    worth computing anew.
    """
    blocks = upper_blocks(network) if stage.compile or stage.checkpointing else []
    for block in blocks:
        if stage.compile:
            block.compile()
        else:
            # In the instance, where nn.Module looks first; copy.deepcopy binds it to the copy.
            block.__dict__["forward"] = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None  # noqa: SLF001 - nn.Module.compile has no other end
            block.__dict__.pop("forward", None)


def upper_blocks(network: Network) -> list[nn.Module]:
    """The image encoder's blocks that training may change; empty for a network without images."""
    if "image" not in network.encoders:
        return []
    encoder = network.encoders["image"]
    assert isinstance(encoder, ImageEncoder)  # noqa: S101 - for the type checker
    return [*list(encoder.blocks)[encoder.frozen_blocks :], encoder.head]
