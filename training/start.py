"""Begin from the weights of a trained version: what fits the recipe's network is taken over, the rest is new."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import GRAPH_TENSORS, Checkpoint, read_checkpoint
from models.columns import Columns
from models.config import NetworkConfig, Preprocessing
from models.errors import ConfigError
from models.nets.network import Network

_FREE = {"dropout", "frozen_blocks", "frozen_layers"}
"""Of an encoder, what changes no weight's shape or meaning."""

_FREE_TO_WRITE = {"dropout", "min_count", "blind", "capitals", "num_beams", "length_penalty", "no_repeat_ngram"}
"""The same of a caption's head: how it is trained, and how texts are chosen and spelt."""

_FUSED = ("modalities", "width", "fusion", "fusion_linear", "embedding")
"""Of a network, what its heads rest on."""


def read_start(folder: str) -> Checkpoint:
    """The version to begin from.

    Raises:
        CheckpointError: it is not there, or not whole.
    """
    return read_checkpoint(Path(folder))


def kept_heads(network: NetworkConfig, columns: Columns, start: Checkpoint) -> dict[str, object]:
    """`classes` and `targets` as the version has them, for a run that trains none: a new one would stay random.

    Labels that only the data knows are masked, as those of validation rows are.

    Raises:
        ConfigError: the version has no such head, or the recipe's fusion is another one.
    """
    theirs = start.config.network
    for name in _FUSED:
        if getattr(network, name) != (its := getattr(theirs, name)):
            raise ConfigError(
                f"network.{name}: nothing trains the heads, so it must be what start_from {start.path} has: {its}."
                " Make them equal, or add stages.fusion or stages.joint."
            )
    several = {head: head in columns.multi_labels for head in (*columns.labels, *columns.multi_labels)}
    for head in columns.heads:
        own = theirs.classes.get(head)
        is_there = head in theirs.targets
        if head in several:
            is_there = own is not None and own.multi_label == several[head]
        if not is_there:
            raise ConfigError(
                f"data.columns: nothing trains the head {head!r}, and start_from {start.path} has none like it. "
                "Add stages.fusion or stages.joint, or leave the column out."
            )
    return {
        "classes": {head: theirs.classes[head] for head in several},
        "targets": {head: theirs.targets[head] for head in columns.targets},
    }


def take_over(
    network: Network, start: Checkpoint, preprocessing: Preprocessing | None = None, untrained: Sequence[str] = ()
) -> dict[str, str]:
    """Load the encoders that both have, and every other part whose shape is the same.

    Classes of another list of labels start anew, though they be as many. `preprocessing` is the recipe's: an
    encoder of recordings knows nothing of other features. Images of another side are the same things. `untrained`
    are a transcript or a caption that the version must have, for nothing trains them.

    Returns:
        By modality, where its weights came from.

    Raises:
        ConfigError: an encoder that both have is not the same, or not on the same features; or an untrained
            part is not the version's.
    """
    theirs, ours = start.config.network, network.config
    shared = [name for name in network.modalities if name in theirs.modalities]
    for name in shared:
        own, its = (getattr(config, name).model_dump(mode="json", exclude=_FREE) for config in (ours, theirs))
        if own != its:
            raise ConfigError(
                f"start_from {start.path}: its network.{name} is not the recipe's. Make them equal: {its}"
            )
    heard = start.config.preprocessing.audio
    if "audio" in shared and preprocessing is not None and preprocessing.audio != heard and heard is not None:
        raise ConfigError(
            f"start_from {start.path}: its preprocessing.audio is not the recipe's. Make them equal: "
            f"{heard.model_dump(mode='json')}"
        )
    relabelled = tuple(
        f"heads.{head}." for head, config in ours.classes.items() if theirs.classes.get(head) != config
    )
    if theirs.transcript != ours.transcript:
        relabelled = (*relabelled, "transcript.")
    if _written_by(theirs) != _written_by(ours):
        relabelled = (*relabelled, "caption.")
    for name in untrained:
        if f"{name}." in relabelled:
            raise ConfigError(
                f"network.{name}: nothing trains it (objective.{name} = 0), and start_from {start.path} has none "
                f"like it. Give it a weight, or leave network.{name} and its column out."
            )
    state = network.state_dict()
    network.load_state_dict(_fitting(start, state, relabelled), strict=False)
    origin = f"{start.config.name} version {start.config.version}"
    before = start.config.provenance.get("pretrained", "none")  # whose licence goes on to hold
    return dict.fromkeys(shared, origin if before == "none" else f"{origin}, which began from {before}")


def _written_by(network: NetworkConfig) -> dict[str, object] | None:
    return None if network.caption is None else network.caption.model_dump(exclude=_FREE_TO_WRITE)


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
