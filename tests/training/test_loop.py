import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from models.errors import ConfigError
from tests.tiny import Recorder
from training import loop
from training.loop import Job, RunState, fit, load_state, read_state
from training.recipe import Stage

ROWS = np.arange(20)
TARGETS = torch.linspace(-1, 1, 20)


class Line(nn.Module):
    """One number in, one out; a second layer that no stage trains."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.frozen = nn.Linear(1, 1), nn.Linear(1, 1)
        self.dropout = nn.Dropout(0.2)

    def loss(self, rows: np.ndarray, generator: torch.Generator) -> Tensor:
        noise = 0.1 * torch.randn(len(rows), 1, generator=generator)
        found = self.layer(self.dropout(TARGETS[rows][:, None] + noise))
        return (found[:, 0] - 3 * TARGETS[rows]).square().mean()


def job_of(module: Line, epochs: int = 4, loss: Callable[..., Tensor] | None = None, name: str = "joint") -> Job:
    stage = Stage(epochs=epochs, batch_size=5, learning_rate=0.1, ema_decay=0.5)
    weight = module.layer.weight
    return Job(
        name,
        stage,
        [([weight, module.layer.bias], 0.1)],
        loss or module.loss,
        lambda average: {"weight": average.get_parameter("layer.weight").item()},
    )


@pytest.fixture(autouse=True)
def save_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_INTERVAL_S", -1.0)


def run(path: Path, module: Line, state: RunState, **changes: object) -> RunState:
    fit(job_of(module, **changes), module, ROWS, seed=7, state=state, path=path, progress=Recorder())
    return state


def curve(state: RunState) -> list[dict[str, float]]:
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in state.history]


class Interrupting:
    """A loss that is interrupted at its n-th call."""

    def __init__(self, module: Line, calls: int) -> None:
        self.module, self.left = module, calls

    def __call__(self, rows: np.ndarray, generator: torch.Generator) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.module.loss(rows, generator)


@pytest.mark.parametrize("calls", [5, 8, 11, 15])
def test_a_run_that_was_interrupted_and_resumed_equals_an_unbroken_one(tmp_path: Path, calls: int) -> None:
    unbroken = Line()
    expected = run(tmp_path / "unbroken", unbroken, RunState("f"))

    first = Line()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "state", first, RunState("f"), loss=Interrupting(first, calls))
    state = read_state(tmp_path / "state")
    assert state is not None
    assert (state.stage, state.epoch) == ("joint", calls // 4)  # of four steps an epoch
    torch.rand(3)  # another process would not have this one's random state either
    resumed = Line()
    assert curve(run(tmp_path / "state", resumed, state)) == curve(expected)
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_a_finished_stage_leaves_the_averaged_weights_and_no_optimiser(tmp_path: Path) -> None:
    module, path = Line(), tmp_path / "deep" / "state"
    state = run(path, module, RunState("f"))
    assert state.finished == ["joint"]
    assert (state.stage, state.epoch) == ("", 0)
    assert module.layer.weight.item() == state.history[-1]["weight"]
    assert vars(read_state(path)) == vars(state)
    with safe_open(path, "pt") as file:
        assert not [name for name in file.keys() if name.startswith("optimizer.")]  # noqa: SIM118
    again = Line()
    load_state(path, again, None, None)
    assert torch.equal(again.layer.weight, module.layer.weight)


def test_the_average_follows_the_weights_by_its_decay(tmp_path: Path) -> None:
    # Two steps: the average starts as the weights after the first, then takes half of the second's change.
    module = Line()
    seen: list[float] = []

    def loss(rows: np.ndarray, generator: torch.Generator) -> Tensor:
        seen.append(module.layer.weight.item())
        return module.loss(rows, generator)

    fit(
        job_of(module, epochs=1, loss=loss), module, ROWS[:10], seed=0, state=RunState("f"),
        path=tmp_path / "state", progress=Recorder(),
    )  # fmt: skip
    # The second step's rate is the cosine's start, so the last raw weight is not in `seen`: only its direction is.
    assert seen[0] != module.layer.weight.item() != seen[1]


def test_only_the_stage_s_own_parameters_change(tmp_path: Path) -> None:
    module = Line()
    before = module.frozen.weight.clone()
    run(tmp_path / "state", module, RunState("f"))
    assert torch.equal(module.frozen.weight, before)
    assert not module.frozen.weight.requires_grad


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    history = run(tmp_path / "state", Line(), RunState("f"), epochs=12).history
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_every_epoch_takes_whole_batches_of_different_rows_in_another_order(tmp_path: Path) -> None:
    module, seen = Line(), []

    def loss(rows: np.ndarray, generator: torch.Generator) -> Tensor:
        seen.append(rows.tolist())
        return module.loss(rows, generator)

    run(tmp_path / "state", module, RunState("f"), epochs=2, loss=loss)
    first, second = np.concatenate(seen[:4]).tolist(), np.concatenate(seen[4:]).tolist()
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_fewer_rows_than_a_batch_are_one_batch(tmp_path: Path) -> None:
    module, sizes = Line(), []

    def loss(rows: np.ndarray, generator: torch.Generator) -> Tensor:
        sizes.append(len(rows))
        return module.loss(rows, generator)

    fit(
        job_of(module, epochs=1, loss=loss), module, ROWS[:3], seed=0, state=RunState("f"),
        path=tmp_path / "state", progress=Recorder(),
    )  # fmt: skip
    assert sizes == [3]


def test_a_loss_that_is_not_finite_stops_the_run_with_a_remedy(tmp_path: Path) -> None:
    module = Line()
    with pytest.raises(ConfigError, match=r"stage joint: the loss became nan\. Lower its learning_rate"):
        run(tmp_path / "state", module, RunState("f"), loss=lambda *_: module.layer.weight.sum() * float("nan"))


def test_a_batch_with_nothing_to_learn_from_is_passed_over(tmp_path: Path) -> None:
    module = Line()

    def loss(rows: np.ndarray, generator: torch.Generator) -> Tensor:
        return torch.zeros(()) if 0 in rows else module.loss(rows, generator)

    assert len(run(tmp_path / "state", module, RunState("f"), loss=loss).history) == 4


def test_the_rate_rises_and_then_falls_to_zero() -> None:
    shares = [loop._schedule(step, 100) for step in range(100)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])  # 5 % of the steps
    assert shares[5:] == sorted(shares[5:], reverse=True)
    assert shares[52] == pytest.approx(0.5, abs=0.02)
    assert 0 < shares[-1] < 0.001


def test_no_state_is_none_and_a_state_is_no_pickle(tmp_path: Path) -> None:
    assert read_state(tmp_path / "none") is None
    run(tmp_path / "state", Line(), RunState("f"), epochs=1)
    data = (tmp_path / "state").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["state"])["fingerprint"] == "f"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
