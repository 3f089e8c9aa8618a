import math

import pytest
import torch

from training.losses import ContrastiveLoss, classification_loss

LN3 = math.log(3)


def test_the_loss_of_a_head_is_the_mean_cross_entropy() -> None:
    logits = {"colour": torch.tensor([[0.0, LN3], [0.0, LN3]])}  # shares 1/4 and 3/4
    loss = classification_loss(logits, torch.tensor([[0], [1]]), {}, 0.0)
    assert loss.item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)


def test_heads_are_summed_by_their_weights() -> None:
    logits = {"colour": torch.zeros(1, 2), "shape": torch.zeros(1, 3)}
    loss = classification_loss(logits, torch.tensor([[0, 0]]), {"shape": 0.5}, 0.0)
    assert loss.item() == pytest.approx(math.log(2) + 0.5 * math.log(3))


def test_an_empty_cell_adds_nothing_to_the_loss_or_the_gradient() -> None:
    logits = torch.tensor([[0.0, LN3], [5.0, -5.0]], requires_grad=True)
    loss = classification_loss({"colour": logits}, torch.tensor([[1], [-1]]), {}, 0.0)
    assert loss.item() == pytest.approx(math.log(4 / 3))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[1].tolist() == [0, 0]


def test_a_head_without_any_label_in_the_batch_is_left_out() -> None:
    logits = {"colour": torch.zeros(2, 2), "shape": torch.full((2, 3), 9.0)}
    loss = classification_loss(logits, torch.tensor([[0, -1], [1, -1]]), {}, 0.0)
    assert loss.item() == pytest.approx(math.log(2))
    nothing = classification_loss(logits, torch.full((2, 2), -1), {}, 0.0)
    assert nothing.item() == 0


def contrast(scale: float = 1.0) -> ContrastiveLoss:
    loss = ContrastiveLoss()
    loss.log_scale.data.fill_(math.log(scale))
    return loss


EYE = torch.eye(2)
NONE_THE_SAME = torch.eye(2, dtype=torch.bool)


def test_two_pairs_that_match_by_hand() -> None:
    loss = contrast(LN3)(EYE, EYE, NONE_THE_SAME)  # own pair exp(ln 3) = 3 against 1
    assert loss.item() == pytest.approx(math.log(4 / 3))


def test_two_pairs_the_wrong_way_round_by_hand() -> None:
    loss = contrast(LN3)(EYE, EYE.flip(0), NONE_THE_SAME)
    assert loss.item() == pytest.approx(math.log(4))


def test_both_directions_count_the_same() -> None:
    left = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = contrast(LN3)(left, EYE, NONE_THE_SAME)
    rows = (math.log(4 / 3) + math.log(4)) / 2  # scores 3, 1 in both rows
    columns = math.log(2)  # 3, 3 and 1, 1
    assert loss.item() == pytest.approx((rows + columns) / 2)


def test_rows_with_an_equal_text_are_no_negatives_of_one_another() -> None:
    everything_the_same = torch.ones(2, 2, dtype=torch.bool)
    assert contrast(LN3)(EYE, EYE.flip(0), everything_the_same).item() == pytest.approx(0, abs=1e-6)


def test_the_scale_is_bounded() -> None:
    largest, larger = contrast(100.0), contrast(1e6)
    left = torch.tensor([[1.0, 0.0], [0.995, 0.0998]])
    assert larger(left, EYE, NONE_THE_SAME).item() == pytest.approx(largest(left, EYE, NONE_THE_SAME).item())
