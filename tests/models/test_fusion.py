"""Each fusion by numbers that can be checked by hand, and all of them under the presence mask."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.config import FusionName
from models.nets.fusion import (
    AddFusion,
    BilinearFusion,
    ConcatFusion,
    ConvFusion,
    CrossAttentionFusion,
    DotAttentionFusion,
    GatedFusion,
    MultiplyFusion,
    Tokens,
    build_fusion,
)

NAMES: tuple[FusionName, ...] = get_args(FusionName)
NAN = float("nan")
BOTH = torch.ones(1, 2, dtype=torch.bool)


def spread(fusion: nn.Module, seed: int = 0) -> nn.Module:
    """With random weights throughout, so that nothing is the mean that some start as."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in fusion.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=generator))
    return fusion


def tokens(values: list[list[float]], owners: list[int], valid: list[bool] | None = None) -> Tokens:
    """One item's tokens."""
    return Tokens(torch.tensor([values]), torch.tensor([valid or [True] * len(owners)]), torch.tensor([owners]))


def fuse(name: FusionName, fusion: nn.Module, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
    """With two tokens a modality, made from nothing but the seed, where the fusion looks at tokens."""
    if name != "cross_attention":
        result: Tensor = fusion(vectors_BMD, present_BM)
        return result
    count, modalities, width = vectors_BMD.shape
    values = torch.randn(count, 2 * modalities, width, generator=torch.Generator().manual_seed(9))
    owner = torch.arange(modalities).repeat_interleave(2).expand(count, -1)
    heard: Tensor = fusion(vectors_BMD, present_BM, Tokens(values, present_BM.gather(1, owner), owner))
    return heard


def test_add_is_the_mean_of_what_is_present() -> None:
    vectors = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[1.0, 2.0], [9.0, 9.0]], [[9.0, 9.0], [3.0, 6.0]]])
    present = torch.tensor([[True, True], [True, False], [False, True]])
    expected = torch.tensor([[2.0, 4.0], [1.0, 2.0], [3.0, 6.0]])
    torch.testing.assert_close(AddFusion()(vectors, present), expected)


def test_multiply_is_the_product_of_what_is_present() -> None:
    vectors = torch.tensor([[[1.0, 2.0], [3.0, -4.0]], [[1.0, 2.0], [9.0, 9.0]]])
    present = torch.tensor([[True, True], [True, False]])
    assert MultiplyFusion()(vectors, present).tolist() == [[3, -8], [1, 2]]


def test_concat_sees_every_vector_and_which_are_there() -> None:
    fusion = ConcatFusion(2, 1)
    with torch.no_grad():
        for layer in (fusion.mix[0], fusion.mix[2]):
            layer.weight.zero_()
            layer.bias.zero_()
        # Inputs are image, text, whether image, whether text; GELU(100) is 100.
        fusion.mix[0].weight[0] = torch.tensor([1.0, 2.0, 10.0, 20.0])
        fusion.mix[0].bias[0] = 100.0
        fusion.mix[2].weight[0, 0] = 1.0
    vectors = torch.tensor([[[3.0], [4.0]], [[3.0], [4.0]]])
    present = torch.tensor([[True, True], [False, True]])
    assert fusion(vectors, present).tolist() == [[100 + 3 + 8 + 10 + 20], [100 + 8 + 20]]


def test_dot_attention_is_the_softmax_of_dot_products_over_what_is_present() -> None:
    # Dot products over the root of D = 1: image·image 0, image·text 0, text·text (ln 3)^2.
    text = math.log(3.0)
    vectors = torch.tensor([[[0.0], [text]]])
    own = math.exp(text * text) / (1 + math.exp(text * text))
    expected = (0.5 * text + own * text) / 2
    assert DotAttentionFusion()(vectors, BOTH).item() == pytest.approx(expected, abs=1e-6)


def test_cross_attention_listens_to_the_tokens_of_the_others_by_softmax() -> None:
    fusion = CrossAttentionFusion(1)
    with torch.no_grad():
        for layer in (fusion.query, fusion.key, fusion.value, fusion.out):
            layer.weight.fill_(1.0)
            if layer.bias is not None:
                layer.bias.zero_()
    # The image (1) hears text tokens 0 and ln 3 with weights 1/4 and 3/4; the text (0) hears image token 5 alone.
    heard = tokens([[5.0], [0.0], [math.log(3.0)]], [0, 1, 1])
    fused = fusion(torch.tensor([[[1.0], [0.0]]]), BOTH, heard)
    assert fused.item() == pytest.approx(((1 + 0.75 * math.log(3.0)) + (0 + 5.0)) / 2, abs=1e-6)
    # Padding is not heard.
    padded = tokens([[5.0], [0.0], [math.log(3.0)], [100.0]], [0, 1, 1, 1], [True, True, True, False])
    assert torch.equal(fusion(torch.tensor([[[1.0], [0.0]]]), BOTH, padded), fused)


def test_cross_attention_is_multi_head_attention_with_one_query_a_modality() -> None:
    # torch's own, each vector asking the tokens of the others, with keys and values of its own for every token.
    fusion, theirs = CrossAttentionFusion(16), nn.MultiheadAttention(16, 8, batch_first=True)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.normal_()
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in (fusion.query, fusion.key, fusion.value)]))
        theirs.in_proj_bias.copy_(torch.cat([fusion.query.bias, torch.randn(16), fusion.value.bias]))
        theirs.out_proj.load_state_dict(fusion.out.state_dict())
    vectors_BMD, owners = torch.randn(3, 2, 16), [0, 0, 1, 1, 1]
    heard = Tokens(torch.randn(3, 5, 16), torch.ones(3, 5, dtype=torch.bool), torch.tensor([owners] * 3))
    own_MS = torch.tensor(owners) == torch.arange(2)[:, None]
    answers_BMD, _ = theirs(vectors_BMD, heard.values_BSD, heard.values_BSD, attn_mask=own_MS)
    expected_BD = (vectors_BMD + answers_BMD).mean(1)
    torch.testing.assert_close(fusion(vectors_BMD, BOTH.expand(3, 2), heard), expected_BD, rtol=1e-4, atol=1e-5)


def test_cross_attention_hears_no_modality_that_is_hidden_and_a_vector_alone_stays_itself() -> None:
    fusion = spread(CrossAttentionFusion(1))
    alone = fusion(torch.tensor([[[1.0], [7.0]]]), torch.tensor([[True, False]]), tokens([[5.0], [3.0]], [0, 1]))
    assert alone.tolist() == [[1.0]]


def test_a_gate_of_zeros_is_add() -> None:
    vectors, present = (
        torch.randn(4, 2, 3),
        torch.tensor([[True, True], [True, False], [False, True], [True, True]]),
    )
    torch.testing.assert_close(GatedFusion(2, 3)(vectors, present), AddFusion()(vectors, present))


def test_a_gate_weighs_by_the_softmax_of_its_own_numbers() -> None:
    fusion = GatedFusion(2, 1)
    with torch.no_grad():
        fusion.gate.bias.copy_(torch.tensor([0.0, np.log(3)]))  # weights 1/4 and 3/4
    vectors = torch.tensor([[[4.0], [8.0]]])
    torch.testing.assert_close(fusion(vectors, BOTH), torch.tensor([[7.0]]))


def test_trust_shifts_the_gate_towards_a_modality() -> None:
    fusion = GatedFusion(2, 1)
    fusion.trust_M.copy_(torch.tensor([0.0, np.log(3)]))
    torch.testing.assert_close(fusion(torch.tensor([[[4.0], [8.0]]]), BOTH), torch.tensor([[7.0]]))


def test_conv_adds_to_the_mean_what_its_windows_of_five_features_give() -> None:
    fusion = ConvFusion(2, channels=1)
    with torch.no_grad():
        for layer in (fusion.mix[0], fusion.mix[2]):
            layer.weight.zero_()
            layer.bias.zero_()
        fusion.mix[0].weight[0, 1] = 1.0  # the text, summed over five neighbours
        fusion.mix[0].bias[0] = 100.0  # GELU(100 + x) is 100 + x
        fusion.mix[2].weight[0, 0, 2] = 1.0  # as it is
        fusion.mix[2].bias[0] = -100.0
    image, text = torch.zeros(6), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    sums = torch.tensor([6.0, 10.0, 15.0, 20.0, 18.0, 15.0])
    fused = fusion(torch.stack([image, text])[None], BOTH)[0]
    torch.testing.assert_close(fused, text / 2 + sums, rtol=0, atol=1e-4)


def test_bilinear_adds_to_the_mean_the_product_of_projections() -> None:
    fusion = BilinearFusion(2, 1)
    with torch.no_grad():
        for factor in fusion.factors:
            factor.weight.copy_(torch.tensor([[1.0], [0.0]]))
            factor.bias.zero_()
        fusion.out.weight.copy_(torch.tensor([[10.0, 0.0]]))
        fusion.out.bias.zero_()
    vectors = torch.tensor([[[0.5], [1.0]]])
    expected = 0.75 + 10 * math.tanh(0.5) * math.tanh(1.0)
    assert fusion(vectors, BOTH).item() == pytest.approx(expected, abs=1e-6)
    image_alone = fusion(vectors, torch.tensor([[True, False]])).item()
    assert image_alone == pytest.approx(0.5 + 10 * math.tanh(0.5), abs=1e-6)


@pytest.mark.parametrize("name", ["add", "multiply", "dot_attention", "gated", "cross_attention"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_single_modality_passes_through(name: FusionName, column: int) -> None:
    vectors, present = torch.randn(2, 3, 8), torch.zeros(2, 3, dtype=torch.bool)
    present[:, column] = True
    found = fuse(name, spread(build_fusion(name, 3, 8)), vectors, present)
    torch.testing.assert_close(found, vectors[:, column])


@pytest.mark.parametrize("name", NAMES)
@given(garbage=st.sampled_from([0.0, 1e30, NAN, float("inf")]), seed=st.integers(0, 99))
def test_the_contents_of_an_absent_modality_never_count(name: FusionName, garbage: float, seed: int) -> None:
    fusion = spread(build_fusion(name, 3, 8), seed)
    generator = torch.Generator().manual_seed(seed)
    vectors, present = torch.randn(4, 3, 8, generator=generator), torch.rand(4, 3, generator=generator) < 0.5
    present[:, seed % 3] = True
    filled = torch.where(present[:, :, None], vectors, torch.full_like(vectors, garbage))
    assert torch.equal(fuse(name, fusion, vectors, present), fuse(name, fusion, filled, present))


@pytest.mark.parametrize("name", NAMES)
def test_every_modality_that_is_present_counts_and_rows_do_not_mix(name: FusionName) -> None:
    fusion, present = spread(build_fusion(name, 2, 8)), torch.ones(3, 2, dtype=torch.bool)
    vectors = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(1))
    before = fuse(name, fusion, vectors, present)
    for column in range(2):
        other = vectors.clone()
        other[1, column] += 1
        after = fuse(name, fusion, other, present)
        assert (after[1] - before[1]).abs().max() > 1e-4
        torch.testing.assert_close(after[[0, 2]], before[[0, 2]], rtol=0, atol=1e-6)


def test_fusions_that_start_as_the_mean_do() -> None:
    vectors, present = torch.randn(3, 2, 8), torch.ones(3, 2, dtype=torch.bool)
    for name in ("gated", "cross_attention"):
        fused = fuse(name, build_fusion(name, 2, 8), vectors, present)  # type: ignore[arg-type]
        torch.testing.assert_close(fused, vectors.mean(1))
