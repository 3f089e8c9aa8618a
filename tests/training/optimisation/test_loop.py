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
from training.optimisation import epoch, loop
from training.optimisation.job import Job
from training.optimisation.loop import fit
from training.optimisation.state import RunState, load_module, read_state
from training.recipe import Stage

ROWS = np.arange(20)
TARGETS = torch.linspace(-1, 1, 20)


Loaded = tuple[np.ndarray, Tensor]


class Line(nn.Module):
    """One number in, one out; a second layer that no stage trains."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.frozen = nn.Linear(1, 1), nn.Linear(1, 1)
        self.dropout = nn.Dropout(0.2)

    def loss(self, loaded: Loaded) -> Tensor:
        rows, values_B1 = loaded
        found = self.layer(self.dropout(values_B1))
        return (found[:, 0] - 3 * TARGETS[rows]).square().mean()


def load(rows: np.ndarray, generator: torch.Generator) -> Loaded:
    """Rows, and their numbers with noise."""
    return rows, TARGETS[rows][:, None] + 0.1 * torch.randn(len(rows), 1, generator=generator)


def job_of(
    module: Line,
    epochs: int = 4,
    loss: Callable[..., Tensor] | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    **changes: object,
) -> Job:
    stage = Stage.model_validate(
        {"epochs": epochs, "batch_size": 5, "learning_rate": 0.1, "ema_decay": 0.5, **changes}
    )
    weight = module.layer.weight
    return Job(
        "joint",
        stage,
        [([weight, module.layer.bias], 0.1)],
        load,
        loss or module.loss,
        validate or (lambda average: {"weight": average.get_parameter("layer.weight").item()}),
    )


@pytest.fixture(autouse=True)
def save_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
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

    def __call__(self, loaded: Loaded) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.module.loss(loaded)


@pytest.mark.parametrize("calls", [1, 5, 8, 11, 15])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_that_was_interrupted_and_resumed_equals_an_unbroken_one(
    tmp_path: Path, calls: int, precision: str
) -> None:
    unbroken = Line()
    expected = run(tmp_path / "unbroken", unbroken, RunState("f"), precision=precision)

    first = Line()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "state", first, RunState("f"), loss=Interrupting(first, calls), precision=precision)
    state = read_state(tmp_path / "state")
    assert state is not None
    assert (state.stage, state.epoch, state.step) == ("joint", *divmod(calls, 4))  # of four steps an epoch
    assert len(state.losses) == state.step
    torch.rand(3)  # another process would not have this one's random state either
    resumed = Line()
    assert curve(run(tmp_path / "state", resumed, state, precision=precision)) == curve(expected)
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
    load_module(path, again)
    assert torch.equal(again.layer.weight, module.layer.weight)


def test_the_average_follows_the_weights_by_its_decay(tmp_path: Path) -> None:
    # Two steps: the average starts as the weights after the first, then takes half of the second's change.
    module = Line()
    seen: list[float] = []

    def loss(loaded: Loaded) -> Tensor:
        seen.append(module.layer.weight.item())
        return module.loss(loaded)

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

    def loss(loaded: Loaded) -> Tensor:
        seen.append(loaded[0].tolist())
        return module.loss(loaded)

    run(tmp_path / "state", module, RunState("f"), epochs=2, loss=loss)
    first, second = np.concatenate(seen[:4]).tolist(), np.concatenate(seen[4:]).tolist()
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_fewer_rows_than_a_batch_are_one_batch(tmp_path: Path) -> None:
    module, sizes = Line(), []

    def loss(loaded: Loaded) -> Tensor:
        sizes.append(len(loaded[0]))
        return module.loss(loaded)

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

    def loss(loaded: Loaded) -> Tensor:
        return torch.zeros(()) if 0 in loaded[0] else module.loss(loaded)

    assert len(run(tmp_path / "state", module, RunState("f"), loss=loss).history) == 4


def figures(*values: float) -> Callable[[nn.Module], dict[str, float]]:
    """Validation that gives one value an epoch, as the mean of two heads, and its opposite for the text."""
    left = iter(values)

    def validate(_average: nn.Module) -> dict[str, float]:
        value = next(left)
        return {"image/shape": value - 0.1, "image/colour": value + 0.1, "text/shape": -value}

    return validate


def test_patience_ends_the_stage_and_keeps_the_best_epoch_s_average(tmp_path: Path) -> None:
    # The second epoch is the best; two more do not better it.
    module = Line()
    state = run(
        tmp_path / "state", module, RunState("f"), epochs=9, patience=2, monitor="image",
        validate=figures(0.5, 0.7, 0.6, 0.7),
    )  # fmt: skip
    assert [entry["epoch"] for entry in state.history] == [1, 2, 3, 4]
    short = Line()
    seen: list[float] = []

    def validate(average: nn.Module) -> dict[str, float]:
        seen.append(average.get_parameter("layer.weight").item())
        return {"image": 0.0}

    run(tmp_path / "other", short, RunState("f"), epochs=9, validate=validate)
    assert module.layer.weight.item() == seen[1]


def test_a_stage_with_patience_that_gets_better_and_better_runs_to_its_end(tmp_path: Path) -> None:
    state = run(tmp_path / "s", Line(), RunState("f"), patience=1, validate=figures(0.1, 0.2, 0.3, 0.4))
    assert len(state.history) == 4


def test_patience_survives_an_interruption(tmp_path: Path) -> None:
    best, first = Line(), Line()
    values = (0.5, 0.7, 0.6, 0.7)
    run(tmp_path / "a", best, RunState("f"), epochs=9, patience=2, validate=figures(*values))
    with pytest.raises(KeyboardInterrupt):  # in the third epoch
        run(
            tmp_path / "b", first, RunState("f"), epochs=9, patience=2, validate=figures(*values),
            loss=Interrupting(first, 10),
        )  # fmt: skip
    state = read_state(tmp_path / "b")
    assert state is not None
    assert (state.best_epoch, state.epoch, state.step) == (2, 2, 2)
    resumed = Line()
    run(tmp_path / "b", resumed, state, epochs=9, patience=2, validate=figures(*values[2:]))
    assert torch.equal(resumed.layer.weight, best.layer.weight)


@pytest.mark.parametrize(("monitor", "found"), [("imag", "image/shape, image/colour"), ("", "none: val has")])
def test_a_figure_that_is_not_there_cannot_be_watched(tmp_path: Path, monitor: str, found: str) -> None:
    validate = figures(0.5) if monitor else lambda _average: {}
    with pytest.raises(ConfigError, match=f"stages.joint.patience: no figure .*{found}"):
        run(tmp_path / "s", Line(), RunState("f"), patience=1, monitor=monitor, validate=validate)


def test_loading_ahead_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two micro-batches a step draw their noise from one generator, in turn.
    ahead, behind = Line(), Line()
    monkeypatch.setattr(epoch, "steps_ahead", lambda _device: 1)
    expected = curve(run(tmp_path / "a", ahead, RunState("f"), batch_size=10, accumulate=2))
    monkeypatch.setattr(epoch, "steps_ahead", lambda _device: 0)
    assert curve(run(tmp_path / "b", behind, RunState("f"), batch_size=10, accumulate=2)) == expected
    assert torch.equal(ahead.layer.weight, behind.layer.weight)


def test_micro_batches_give_the_same_weights_as_the_whole_batch(tmp_path: Path) -> None:
    results = []
    for accumulate in (1, 5):
        module = Line()
        module.dropout.p = 0.0

        def loss(loaded: Loaded, module: Line = module) -> Tensor:
            rows, _ = loaded
            return (module.layer(TARGETS[rows][:, None])[:, 0] - 3 * TARGETS[rows]).square().mean()

        state = run(tmp_path / "s", module, RunState("f"), loss=loss, batch_size=10, accumulate=accumulate)
        results.append((module.layer.weight.item(), [entry["loss"] for entry in state.history]))
    (weight, losses), (same_weight, same_losses) = results
    assert same_weight == pytest.approx(weight, rel=1e-5)
    assert same_losses == pytest.approx(losses, rel=1e-5)


def test_rows_that_do_not_fill_every_micro_batch_are_refused(tmp_path: Path) -> None:
    module = Line()
    with pytest.raises(ConfigError, match="train has 3 row"):
        fit(
            job_of(module, batch_size=8, accumulate=4), module, ROWS[:3], seed=0, state=RunState("f"),
            path=tmp_path / "state", progress=Recorder(),
        )  # fmt: skip


def test_scalars_are_told_of_every_step_and_epoch(tmp_path: Path) -> None:
    module, told = Line(), []

    def scalars(name: str, _value: float, step: int) -> None:
        told.append((name, step))

    fit(
        job_of(module, epochs=2), module, ROWS, seed=0, state=RunState("f"), path=tmp_path / "state",
        progress=Recorder(), scalars=scalars,
    )  # fmt: skip
    assert [step for name, step in told if name == "joint/loss"] == list(range(1, 9))
    assert [step for name, step in told if name == "joint/val/weight"] == [4, 8]


def test_no_state_is_none_and_a_state_is_no_pickle(tmp_path: Path) -> None:
    assert read_state(tmp_path / "none") is None
    run(tmp_path / "state", Line(), RunState("f"), epochs=1)
    data = (tmp_path / "state").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["state"])["fingerprint"] == "f"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
