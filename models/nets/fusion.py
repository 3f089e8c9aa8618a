"""Several modality vectors to one, whichever are present.

# B batch, M modalities, D width, S tokens of all modalities together, H heads,
# d = D / H, N = B M, Q = M H, R rank, C channels

Every fusion keeps one interface: (B, M, D) vectors and a (B, M) presence mask → (B, D). The contents of an absent
modality never reach the result. `cross_attention` takes the encoders' `Tokens` too."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.config import FusionName


class Tokens(NamedTuple):
    """What the encoders gave beside their vectors: a token for each cell of a map, each subword.

    values_BSD: the tokens of all modalities side by side.
    valid_BS: bool; false for padding and for what an item does not have.
    owner_BS: int64, the place in M of the modality that a token is of.
    """

    values_BSD: Tensor
    valid_BS: Tensor
    owner_BS: Tensor


class AddFusion(nn.Module):
    """The mean of the vectors that are present."""

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        return mean(blank(vectors_BMD, present_BM), present_BM)


class MultiplyFusion(nn.Module):
    """The elementwise product of the vectors that are present: the method's own fusion."""

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        return torch.where(present_BM[:, :, None], vectors_BMD, torch.ones_like(vectors_BMD)).prod(1)


class ConcatFusion(nn.Module):
    """All vectors side by side, with a bit for each that says whether it is there, through a hidden layer."""

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Linear(num_modalities * (width + 1), 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        side_by_side = torch.cat([blank(vectors_BMD, present_BM).flatten(1), present_BM.to(vectors_BMD)], dim=1)
        fused_BD: Tensor = self.mix(side_by_side)
        return fused_BD


class DotAttentionFusion(nn.Module):
    """F = I·T with its softmax: each vector asks all that are present, and the answers' mean is taken.

    Scaled dot products (Vaswani et al. 2017, equation 1) without weights of their own, so that it shows what
    the formula alone gives. A vector alone is itself."""

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        clean_BMD = blank(vectors_BMD, present_BM)
        scores_BMM = clean_BMD @ clean_BMD.transpose(1, 2) / math.sqrt(clean_BMD.shape[2])
        answers_BMD = masked_softmax(scores_BMM, present_BM[:, None, :]) @ clean_BMD
        return mean(blank(answers_BMD, present_BM), present_BM)


class CrossAttentionFusion(nn.Module):
    """Each modality's vector attends to the tokens of the others; the mean of what they then are is taken.

    Multi-head attention (Vaswani et al. 2017) with a residual, as in ViLBERT's co-attention (Lu et al. 2019), but
    with one query a modality: the tokens were already set in relation by their own encoder.

    With so few queries, keys and values of the tokens are not computed: q · (K t) is (Kᵀ q) · t, and the mean of
    V t is V of the mean of t. So the weights go to M queries instead of S tokens, a tenth of the work. A key's
    bias would add the same to every token's score, and the softmax take it away.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_heads = next(heads for heads in (8, 4, 2, 1) if width % heads == 0)
        self.query, self.value, self.out = (nn.Linear(width, width) for _ in range(3))
        self.key = nn.Linear(width, width, bias=False)
        # Starts as the mean of the vectors; what training finds is a departure from `add`.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor, tokens: Tokens) -> Tensor:
        """See the module."""
        clean_BMD = blank(vectors_BMD, present_BM)
        places_M = torch.arange(clean_BMD.shape[1], device=clean_BMD.device)
        # A token counts where its modality is shown (an evaluation may hide one that is there) and not one's own.
        shown_BS = tokens.valid_BS & present_BM.gather(1, tokens.owner_BS)
        seen_BMS = shown_BS[:, None, :] & (tokens.owner_BS[:, None, :] != places_M[:, None])
        values_BSD = torch.where(
            tokens.valid_BS[:, :, None], tokens.values_BSD, torch.zeros_like(tokens.values_BSD)
        )
        batch, num_modalities, width = clean_BMD.shape
        query_HNd = self._heads_first(self.query(clean_BMD))
        asked_HND = query_HNd @ self.key.weight.view(self.num_heads, -1, width) / math.sqrt(query_HNd.shape[2])
        # As (B, M H, D), or torch would copy the tokens for each head.
        asked_BQD = asked_HND.transpose(0, 1).reshape(batch, -1, width)
        scores_BQS = asked_BQD @ values_BSD.transpose(1, 2)
        weights_BQS = masked_softmax(scores_BQS, seen_BMS.repeat_interleave(self.num_heads, dim=1))
        found_HND = (weights_BQS @ values_BSD).view(-1, self.num_heads, width).transpose(0, 1)
        heard_HNd = found_HND @ self.value.weight.view(self.num_heads, -1, width).transpose(1, 2)
        heard_BMD = self.out(heard_HNd.transpose(0, 1).reshape(batch, num_modalities, width) + self.value.bias)
        # A vector with nobody to listen to stays what it is.
        heard_BMD = torch.where(seen_BMS.any(2)[:, :, None], heard_BMD, torch.zeros_like(heard_BMD))
        return mean(blank(clean_BMD + heard_BMD, present_BM), present_BM)

    def _heads_first(self, part_BMD: Tensor) -> Tensor:
        """(B, M, D) → (H, B M, D / H)."""
        return part_BMD.reshape(-1, self.num_heads, part_BMD.shape[2] // self.num_heads).transpose(0, 1)


class GatedFusion(nn.Module):
    """A learned weight for each modality and each of the D features, softmax over the modalities present.

    After Arevalo et al. 2017, "Gated Multimodal Units", with the softmax that more than two modalities need.
    """

    trust_M: Tensor

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(num_modalities * width, num_modalities * width)
        # Starts as the mean; what training finds is a departure from `add`.
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        # How far each modality is to be trusted beside the others; fitted on validation rows, see training.trust.
        self.register_buffer("trust_M", torch.zeros(num_modalities))

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        clean_BMD = blank(vectors_BMD, present_BM)
        gates_BMD = self.gate(clean_BMD.flatten(1)).view_as(clean_BMD) + self.trust_M[None, :, None]
        # Softmax over the present only: a masked zero vector would still take weight, and a text-only answer
        # would then depend on how many modalities the model knows.
        weights_BMD = gates_BMD.masked_fill(~present_BM[:, :, None], -1e4).softmax(dim=1)
        fused_BD: Tensor = (weights_BMD * clean_BMD).sum(1)
        return fused_BD


class ConvFusion(nn.Module):
    """Convolutions along the features, the modalities being channels, added to the mean of the vectors.

    The bits that say which modalities are there are channels too: a zero may be a value or nothing."""

    def __init__(self, num_modalities: int, channels: int = 16) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv1d(2 * num_modalities, channels, 5, padding=2), nn.GELU(), nn.Conv1d(channels, 1, 5, padding=2)
        )

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        clean_BMD = blank(vectors_BMD, present_BM)
        bits_BMD = present_BM.to(clean_BMD)[:, :, None].expand_as(clean_BMD)
        departure_BD: Tensor = self.mix(torch.cat([clean_BMD, bits_BMD], dim=1))[:, 0]
        return mean(clean_BMD, present_BM) + departure_BD


class BilinearFusion(nn.Module):
    """Low-rank bilinear pooling, added to the mean of the vectors.

    After Kim et al. 2017, "Hadamard Product for Low-rank Bilinear Pooling", equation 8: the product of tanh
    projections, projected back. An absent modality's factor is one; a modality alone keeps its own projection.
    """

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.factors = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(num_modalities))
        self.out = nn.Linear(2 * width, width)

    def forward(self, vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """See the module."""
        clean_BMD = blank(vectors_BMD, present_BM)
        factors_BMR = torch.stack(
            [factor(clean_BMD[:, place]).tanh() for place, factor in enumerate(self.factors)], dim=1
        )
        product_BR = torch.where(present_BM[:, :, None], factors_BMR, torch.ones_like(factors_BMR)).prod(1)
        fused_BD: Tensor = mean(clean_BMD, present_BM) + self.out(product_BR)
        return fused_BD


def blank(vectors_BMD: Tensor, present_BM: Tensor) -> Tensor:
    """Zeros where a modality is absent, even if its contents are not a number."""
    return torch.where(present_BM[:, :, None], vectors_BMD, torch.zeros_like(vectors_BMD))


def mean(clean_BMD: Tensor, present_BM: Tensor) -> Tensor:
    """The mean over the modalities present, of vectors that are blank elsewhere."""
    return clean_BMD.sum(1) / present_BM.to(clean_BMD.dtype).sum(1, keepdim=True)


def masked_softmax(scores: Tensor, seen: Tensor) -> Tensor:
    """Softmax over the last axis where `seen`; where nothing is, some finite weights that the caller drops."""
    return functional.softmax(scores.masked_fill(~seen, -1e4), dim=-1)


def build_fusion(name: FusionName, num_modalities: int, width: int) -> nn.Module:
    """The fusion called `name` in a recipe."""
    match name:
        case "add":
            return AddFusion()
        case "multiply":
            return MultiplyFusion()
        case "concat":
            return ConcatFusion(num_modalities, width)
        case "dot_attention":
            return DotAttentionFusion()
        case "cross_attention":
            return CrossAttentionFusion(width)
        case "gated":
            return GatedFusion(num_modalities, width)
        case "conv":
            return ConvFusion(num_modalities)
        case "bilinear":
            return BilinearFusion(num_modalities, width)
