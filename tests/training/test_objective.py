import math

import pytest
import torch

from models.config import ClassificationHead, ImageEncoder, NetworkConfig, RegressionHead
from models.nets.heads import HeadOutputs
from training.data.truth import Truth
from training.objective import TaskWeights, head_losses

LN3 = math.log(3)
CONFIG = NetworkConfig(
    image=ImageEncoder(),
    classes={
        "colour": ClassificationHead(labels=("blue", "red")),
        "shape": ClassificationHead(labels=("circle", "square", "star")),
        "tags": ClassificationHead(labels=("new", "sale"), multi_label=True),
    },
    targets={"price": RegressionHead(), "weight": RegressionHead(uncertainty=True)},
)
FOUND = HeadOutputs(
    {"colour": torch.tensor([[0.0, LN3]] * 2), "shape": torch.zeros(2, 3), "tags": torch.tensor([[LN3, 0.0]] * 2)},
    {"price": torch.tensor([0.5, 0.5]), "weight": torch.tensor([2.0, 2.0])},
    {"weight": torch.tensor([math.log(4)] * 2)},
)
NAN = math.nan


def truth_of(labels: list[list[int]], tags: list[list[float]], targets: list[list[float]]) -> Truth:
    return Truth(torch.tensor(labels), {"tags": torch.tensor(tags)}, torch.tensor(targets))


WHOLE = truth_of([[1, 0], [1, 2]], [[1.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]])


def test_each_head_has_the_loss_of_its_kind() -> None:
    losses = {head: loss.item() for head, loss in head_losses(CONFIG, FOUND, WHOLE).items()}
    assert losses == pytest.approx(
        {
            "colour": math.log(4 / 3),
            "shape": math.log(3),
            "tags": (math.log(4 / 3) + math.log(2)) / 2,
            "price": 0.125,
            "weight": 0.5 + 0.5 * math.log(4),
        }
    )


def test_a_head_without_any_cell_in_the_batch_is_left_out() -> None:
    truth = truth_of([[1, -1], [-1, -1]], [[NAN, NAN]] * 2, [[NAN, 0.0], [NAN, NAN]])
    assert set(head_losses(CONFIG, FOUND, truth)) == {"colour", "weight"}
    nothing = truth_of([[-1, -1]] * 2, [[NAN, NAN]] * 2, [[NAN, NAN]] * 2)
    assert TaskWeights()(head_losses(CONFIG, FOUND, nothing), {}).item() == 0


def test_labels_weigh_what_their_balance_says() -> None:
    mixed = WHOLE._replace(labels_NH=torch.tensor([[1, 0], [0, 2]]))
    losses = head_losses(CONFIG, FOUND, mixed, balance={"colour": torch.tensor([3.0, 1.0])})
    assert losses["colour"].item() == pytest.approx((3 * math.log(4) + math.log(4 / 3)) / 4)


def test_tasks_are_summed_by_their_fixed_weights() -> None:
    losses = {"colour": torch.tensor(2.0), "price": torch.tensor(3.0)}
    assert TaskWeights()(losses, {"price": 0.5}).item() == pytest.approx(2 + 1.5)


def test_a_learnt_weight_is_the_paper_s() -> None:
    weights = TaskWeights(["colour", "price"])
    assert weights.log_variances is not None
    weights.log_variances.data = torch.tensor([math.log(2), math.log(4)])
    # exp(-s) L + s / 2; of an error of 0.5 Huber's loss is 0.125, and exp(-s) error^2 / 2 is as much.
    losses = {"colour": torch.tensor(3.0), "price": torch.tensor(0.125), "other": torch.tensor(1.0)}
    expected = (3 / 2 + 0.5 * math.log(2)) + 0.5 * (0.5**2 / 2 / 4 + 0.5 * math.log(4)) + 1
    assert weights(losses, {"price": 0.5}).item() == pytest.approx(expected)
    assert weights.learned() == {"colour": 0.5, "price": 0.25}


def test_a_weight_is_learnt_until_the_variance_is_the_error_s() -> None:
    # The least of exp(-s) 2 + s / 2 is at exp(s) = 4.
    weights = TaskWeights(["price"])
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        weights({"price": torch.tensor(2.0)}, {}).backward()
        optimizer.step()
    assert weights.learned()["price"] == pytest.approx(0.25, rel=0.02)


def test_a_task_without_a_loss_keeps_its_weight() -> None:
    weights = TaskWeights(["colour", "price"])
    weights({"price": torch.tensor(2.0)}, {}).backward()
    assert weights.log_variances is not None
    assert weights.log_variances.grad is not None
    assert weights.log_variances.grad.tolist() == [0, -1.5]


def test_fixed_weights_have_no_parameters() -> None:
    assert list(TaskWeights().parameters()) == []
    assert TaskWeights().learned() == {}
