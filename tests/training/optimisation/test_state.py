import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from training.optimisation import state as state_file
from training.optimisation.state import RunState, Weights, read_state, save_state


def weights(seed: int) -> Weights:
    torch.manual_seed(seed)
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW([{"params": list(layer.parameters()), "peak": 0.1}])
    layer(torch.rand(3, 2)).sum().backward()
    optimizer.step()
    average = AveragedModel(layer)
    average.update_parameters(layer)
    return Weights(layer, average, optimizer, torch.amp.GradScaler("cpu", enabled=False))


def test_what_is_read_is_what_was_saved(tmp_path: Path) -> None:
    saved, other, path = weights(1), weights(2), tmp_path / "state"
    saved.best = {"weight": torch.tensor([3.0])}
    state = RunState("f", ["image"], "joint", 2, 3, [0.1, 1 / 3, 0.7], 0.5, 1, {"scale": 4.0}, [{"loss": 0.2}])
    save_state(path, state, saved.tensors())
    assert read_state(path) == state
    other.load(path)
    assert saved.tensors().keys() == other.tensors().keys()
    for name, value in saved.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name


def test_a_convolution_whose_channels_come_last_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    inputs, made = torch.rand(2, 3, 5, 5), []
    for _ in range(2):
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
        made.append(Weights(layer, AveragedModel(layer), optimizer, torch.amp.GradScaler("cpu", enabled=False)))
    unbroken, resumed = made

    def step(weights: Weights) -> None:
        weights.optimizer.zero_grad()
        weights.module(inputs).square().sum().backward()
        weights.optimizer.step()

    step(unbroken)
    save_state(tmp_path / "state", RunState("f"), unbroken.tensors())
    resumed.load(tmp_path / "state")
    for weights in made:
        step(weights)
    assert torch.equal(unbroken.module.get_parameter("weight"), resumed.module.get_parameter("weight"))


def test_a_stage_is_entered_with_nothing_of_the_last(tmp_path: Path) -> None:
    state = RunState("f", ["image"], "joint", 2, 3, [0.1], 0.5, 1, {"scale": 4.0}, [{"loss": 0.2}])
    state.enter("text")
    assert state == RunState("f", ["image"], "text", history=[{"loss": 0.2}])


def test_a_crash_while_writing_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    save_state(path, RunState("old"), {})

    def crash(_handle: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="the disk is gone"):
        save_state(path, RunState("new"), {})
    assert read_state(path) == RunState("old")


def test_a_state_is_on_the_disk_before_it_takes_the_old_one_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(state_file, "_sync", lambda path: synced.append(path.name))
    save_state(tmp_path / "runs" / "a.state", RunState("f"), {})
    assert synced == ["a.partial", "runs"]
