"""How far the gate may trust each modality: one number each, fitted on validation rows.

An encoder knows its own training rows by heart, so a gate that learnt on them trusts it more than it deserves
on new ones, and the encoder that errs least there is outvoted. One offset a modality is too little to overfit.

# B validation rows, M modalities"""

import numpy as np
import torch

from models.nets.fusion import GatedFusion
from models.nets.heads import HeadOutputs
from models.nets.network import EncodedBatch
from training.data.pairs import Rows
from training.encode import together
from training.fused_stages import encode_rows
from training.objective import TaskWeights, head_losses
from training.plan import Plan

OFFSETS = np.array(sorted(np.linspace(-3.0, 3.0, 25), key=abs))  # the smallest first: it wins where nothing tells


@torch.no_grad()
def fit_trust(plan: Plan) -> None:
    """Set the gate's `trust_M` to what makes the labels of complete validation rows likeliest; else do nothing."""
    fusion = plan.bench.network.fusion
    rows = plan.source.pairs.rows("val")
    rows = rows[plan.source.present_NM[rows].all(1).cpu().numpy()]
    if not isinstance(fusion, GatedFusion) or len(plan.source.modalities) < 2 or not len(rows):
        return
    found = encode_rows(plan, rows).take(np.arange(len(rows)), plan.source.device)
    encoded = together(plan.bench.network, found, plan.source.present_NM[rows])
    # The first modality stays at 0: only differences count in a softmax.
    for column in range(1, len(plan.source.modalities)):
        # Beside the summed likelihood, a Gaussian prior of deviation 1: a handful of rows must not decide alone.
        losses = [
            len(rows) * _loss(plan, rows, encoded, column, float(offset)) + 0.5 * offset**2 for offset in OFFSETS
        ]
        fusion.trust_M[column] = float(OFFSETS[int(np.argmin(losses))])
    named = zip(plan.source.modalities, fusion.trust_M.tolist(), strict=True)
    shown = ", ".join(f"{name} {value:+.2f}" for name, value in named)
    plan.progress.log(f"trust of the gate: {shown}")


def _loss(plan: Plan, rows: Rows, encoded: EncodedBatch, column: int, offset: float) -> float:
    """The loss over all heads at the best common temperature: sharpness must not pass for trust."""
    network = plan.bench.network
    assert isinstance(network.fusion, GatedFusion)  # noqa: S101 - for the type checker
    network.fusion.trust_M[column] = offset
    present_BM = torch.ones(encoded.vectors_BMD.shape[:2], dtype=torch.bool, device=encoded.vectors_BMD.device)
    output = network.fuse(encoded, present_BM)
    truth = plan.source.truth.take(rows)
    losses = []
    for temperature in (0.5, 0.7, 1.0, 1.4, 2.0):
        scaled = {head: logits / temperature for head, logits in output.logits.items()}
        found = HeadOutputs(scaled, output.heads.values, {})  # Huber's loss: a variance is sharpness too
        losses.append(float(TaskWeights()(head_losses(network.config, found, truth), plan.recipe.objective.heads)))
    return min(losses)
