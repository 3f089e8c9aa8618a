"""Begin from the weights of a trained version: what fits the recipe's network is taken over, the rest is new."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import GRAPH_TENSORS, Checkpoint, read_checkpoint
from models.errors import ConfigError
from models.nets.network import Network

_FREE = {"dropout", "frozen_blocks", "frozen_layers"}
"""Of an encoder, what changes no weight's shape or meaning."""


def read_start(folder: str) -> Checkpoint:
    """The version to begin from.

    Raises:
        CheckpointError: it is not there, or not whole.
    """
    return read_checkpoint(Path(folder))


def take_over(network: Network, start: Checkpoint) -> dict[str, str]:
    """Load the encoders that both have, and every other part whose shape is the same.

    Classes of another list of labels start anew, though they be as many.

    Returns:
        By modality, where its weights came from.

    Raises:
        ConfigError: an encoder that both have is not the same.
    """
    theirs, ours = start.config.network, network.config
    shared = [name for name in network.modalities if name in theirs.modalities]
    for name in shared:
        own, its = (getattr(config, name).model_dump(mode="json", exclude=_FREE) for config in (ours, theirs))
        if own != its:
            raise ConfigError(
                f"start_from {start.path}: its network.{name} is not the recipe's. Make them equal: {its}"
            )
    relabelled = tuple(
        f"heads.{head}." for head, config in ours.classes.items() if theirs.classes.get(head) != config
    )
    if theirs.transcript != ours.transcript:
        relabelled = (*relabelled, "transcript.")
    if theirs.caption != ours.caption:
        relabelled = (*relabelled, "caption.")
    state = network.state_dict()
    network.load_state_dict(_fitting(start, state, relabelled), strict=False)
    return dict.fromkeys(shared, f"{start.config.name} version {start.config.version}")


def _fitting(start: Checkpoint, state: Mapping[str, Tensor], left_out: tuple[str, ...]) -> dict[str, Tensor]:
    fitting: dict[str, Tensor] = {}
    for name, value in start.weights.items():
        if name.startswith((GRAPH_TENSORS, *left_out)) or name not in state:
            continue
        # A number without an axis, as BatchNorm counts its batches, is kept in a file with one.
        its = torch.from_numpy(np.array(value)).reshape(() if state[name].ndim == 0 else value.shape)
        if its.shape == state[name].shape:
            fitting[name] = its
    return fitting
