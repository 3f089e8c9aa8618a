"""What a run resumes from: where it stands, weights, averages and moments, in one file that is replaced at once.

Knows tensors and names; knows nothing of steps or losses."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

LOSSES = "losses"


@dataclass
class RunState:
    """Where a run stands: finished stages, the epoch and step within the current one, and the curves so far.

    step: steps done of the epoch in progress. losses: one of each of them.
    best: the best validation figure of the stage so far, and `best_epoch` the epoch (from 1) that gave it.
    scaler: what `GradScaler` goes on from; empty without fp16.
    """

    fingerprint: str
    finished: list[str] = field(default_factory=list)
    stage: str = ""
    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    scaler: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, stage: str) -> None:
        """Stand at the beginning of a stage; "" is between stages."""
        self.stage, self.epoch, self.step, self.losses = stage, 0, 0, []
        self.best, self.best_epoch, self.scaler = None, 0, {}


@dataclass
class Weights:
    """All tensors that training changes.

    best: parameters and buffers of the best average so far; None unless the stage has patience.
    """

    module: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    best: dict[str, Tensor] | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name, in four parts."""
        found = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        found |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        found |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{index}.{name}": value for name, value in slots.items()}
        return found

    def load(self, path: Path) -> None:
        """Fill everything, but for the scaler, from a state file of the same stage."""
        tensors = _tensors(path)
        self.module.load_state_dict(_part(tensors, "module."))
        self.average.load_state_dict(_part(tensors, "average."))
        self.best = _part(tensors, "best.") or None
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "optimizer.").items():
            index, key = name.split(".", 1)
            slots.setdefault(int(index), {})[key] = value
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for number, own in slots.items():
            own.update({key: _laid_out(value, parameters[number]) for key, value in own.items()})
        self.optimizer.load_state_dict(
            {"state": slots, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )


def save_state(path: Path, state: RunState, tensors: Mapping[str, Tensor]) -> None:
    """Write everything a run needs to go on. A kill or a power cut leaves the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    # Losses are a tensor, for a header of safetensors has a limit, and an epoch may have a million steps.
    losses = torch.tensor(state.losses, dtype=torch.float64)
    # safetensors takes no channels-last tensors, nor any that share memory
    save_file(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()} | {LOSSES: losses},
        partial,
        metadata={"state": json.dumps({**vars(state), LOSSES: []})},
    )
    _sync(partial)
    partial.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(path.parent)


def read_state(path: Path) -> RunState | None:
    """Where an interrupted run stands; None if there is none."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        state = RunState(**json.loads(file.metadata()["state"]))
        state.losses = file.get_tensor(LOSSES).tolist()
    return state


def load_module(path: Path, module: nn.Module) -> None:
    """Fill only the weights."""
    module.load_state_dict(_part(_tensors(path), "module."))


def _tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """A moment with its parameter's strides, which a file does not keep: the fused optimiser goes by addresses."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value


def _sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
