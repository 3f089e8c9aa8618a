import numpy as np
import pytest
import torch

from training.optimisation.schedule import Schedule, micro_batches, rate_share

SCHEDULE = Schedule(seed=7, stage="joint", epochs=2, steps=4, size=5)


def test_the_rate_rises_and_then_falls_to_zero() -> None:
    shares = [rate_share(step, 100) for step in range(100)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])  # 5 % of the steps
    assert shares[5:] == sorted(shares[5:], reverse=True)
    assert shares[52] == pytest.approx(0.5, abs=0.02)
    assert 0 < shares[-1] < 0.001


def test_the_rate_goes_on_from_epoch_to_epoch() -> None:
    shares = [SCHEDULE.share(epoch, step) for epoch in range(2) for step in range(4)]
    assert shares == [rate_share(step, 8) for step in range(8)]


def test_a_step_s_rows_and_draws_depend_on_nothing_before_it() -> None:
    rows = np.arange(23)
    order = SCHEDULE.order(rows, 1)
    torch.rand(9)
    assert SCHEDULE.order(rows, 1).tolist() == order.tolist()
    assert SCHEDULE.rows(order, 3).tolist() == order[15:20].tolist()
    first, second = (torch.rand(3, generator=SCHEDULE.generator(1, 3)) for _ in range(2))
    assert torch.equal(first, second)


def test_stages_epochs_steps_and_processes_draw_apart() -> None:
    other = Schedule(seed=7, stage="image", epochs=2, steps=4, size=5)
    seeds = [
        schedule.dropout_seed(epoch, step, rank)
        for schedule in (SCHEDULE, other)
        for epoch in range(2)
        for step in range(4)
        for rank in range(2)
    ]
    assert len(set(seeds)) == 32


def test_micro_batches_are_equal_parts_in_order() -> None:
    assert [part.tolist() for part in micro_batches(np.array([3, 1, 2, 0]), 2)] == [[3, 1], [2, 0]]
