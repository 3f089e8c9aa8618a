import math

import pytest
import torch

from training.losses import (
    ContrastiveLoss,
    SigmoidContrast,
    multi_label_loss,
    regression_loss,
    single_label_loss,
)

LN3 = math.log(3)


def test_the_loss_of_a_label_is_the_mean_cross_entropy() -> None:
    logits = torch.tensor([[0.0, LN3], [0.0, LN3]])  # shares 1/4 and 3/4
    loss = single_label_loss(logits, torch.tensor([0, 1]))
    assert loss is not None
    assert loss.item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)


def test_smoothing_moves_some_of_the_label_to_all_labels_alike() -> None:
    loss = single_label_loss(torch.tensor([[0.0, LN3]]), torch.tensor([1]), 0.2)
    assert loss is not None
    assert loss.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


def test_the_rows_of_a_label_count_by_its_weight() -> None:
    logits = torch.tensor([[0.0, LN3], [0.0, LN3]])
    loss = single_label_loss(logits, torch.tensor([0, 1]), weight_C=torch.tensor([3.0, 1.0]))
    assert loss is not None
    assert loss.item() == pytest.approx((3 * math.log(4) + math.log(4 / 3)) / 4)


def test_an_empty_cell_adds_nothing_to_the_loss_or_the_gradient() -> None:
    logits = torch.tensor([[0.0, LN3], [5.0, -5.0]], requires_grad=True)
    loss = single_label_loss(logits, torch.tensor([1, -1]))
    assert loss is not None
    assert loss.item() == pytest.approx(math.log(4 / 3))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[1].tolist() == [0, 0]


def test_rows_without_any_cell_have_no_loss() -> None:
    nothing = torch.full((2,), math.nan)
    assert single_label_loss(torch.zeros(2, 2), torch.tensor([-1, -1])) is None
    assert multi_label_loss(torch.zeros(2, 2), torch.full((2, 2), math.nan)) is None
    assert regression_loss(torch.zeros(2), nothing) is None
    assert regression_loss(torch.zeros(2), nothing, torch.zeros(2)) is None


def test_the_loss_of_several_labels_is_the_mean_over_each_of_its_own() -> None:
    logits = torch.tensor([[LN3, LN3, 0.0], [9.0, 9.0, 9.0]], requires_grad=True)  # sigmoids 3/4, 3/4, 1/2
    truth = torch.tensor([[1.0, 0.0, 1.0], [math.nan] * 3])  # the second row has no cell
    loss = multi_label_loss(logits, truth)
    assert loss is not None
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4) + math.log(2)) / 3)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[1].tolist() == [0, 0, 0]
    weighted = multi_label_loss(logits, truth, torch.tensor([2.0, 2.0, 1.0]))  # of labels that hold
    assert weighted is not None
    assert weighted.item() == pytest.approx((2 * math.log(4 / 3) + math.log(4) + math.log(2)) / 3)


def test_the_loss_of_a_number_is_square_for_small_errors_and_linear_for_large_ones() -> None:
    values = torch.tensor([0.5, 4.0, 7.0], requires_grad=True)
    loss = regression_loss(values, torch.tensor([0.0, 1.0, math.nan]))
    assert loss is not None
    assert loss.item() == pytest.approx((0.5 * 0.25 + (3 - 0.5)) / 2)
    (gradient,) = torch.autograd.grad(loss, values)
    assert gradient.tolist() == [0.25, 0.5, 0]


def test_a_number_with_its_variance_loses_by_the_gaussian_likelihood() -> None:
    # Errors of 2 with a variance of 4, and of 1 with a variance of 1.
    log_variances = torch.tensor([math.log(4), 0.0, 0.0])
    loss = regression_loss(torch.tensor([2.0, 1.0, 9.0]), torch.tensor([0.0, 0.0, math.nan]), log_variances)
    assert loss is not None
    assert loss.item() == pytest.approx(((0.5 + 0.5 * math.log(4)) + 0.5) / 2)


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


def sigmoid(scale: float, bias: float) -> SigmoidContrast:
    loss = SigmoidContrast()
    loss.log_scale.data.fill_(math.log(scale))
    loss.bias.data.fill_(bias)
    return loss


def test_each_pair_is_told_alone_by_hand() -> None:
    # Own pairs score ln 3: they belong together with 3/4; the others score 0: 1/2. Two rows, four pairs.
    loss = sigmoid(LN3, 0.0)(EYE, EYE, NONE_THE_SAME)
    assert loss.item() == pytest.approx((2 * math.log(4 / 3) + 2 * math.log(2)) / 2)


def test_the_bias_makes_few_pairs_belong_together_at_first() -> None:
    # All score 0 - ln 3: 1/4.
    loss = sigmoid(1.0, -LN3)(EYE, torch.zeros(2, 2), NONE_THE_SAME)
    assert loss.item() == pytest.approx((2 * math.log(4) + 2 * math.log(4 / 3)) / 2)
    assert SigmoidContrast().bias.item() == -10
    assert SigmoidContrast().log_scale.exp().item() == pytest.approx(10, rel=0.01)


def test_rows_with_an_equal_text_belong_together_too() -> None:
    # The four pairs all count as partners.
    loss = sigmoid(LN3, 0.0)(EYE, EYE, torch.ones(2, 2, dtype=torch.bool))
    assert loss.item() == pytest.approx((2 * math.log(4 / 3) + 2 * math.log(2)) / 2)
    repelled = sigmoid(LN3, 0.0)(EYE, EYE.flip(0), NONE_THE_SAME)
    together = sigmoid(LN3, 0.0)(EYE, EYE.flip(0), torch.ones(2, 2, dtype=torch.bool))
    assert together.item() == pytest.approx((2 * math.log(4 / 3) + 2 * math.log(2)) / 2)
    assert repelled.item() == pytest.approx((2 * math.log(2) + 2 * math.log(4)) / 2)
