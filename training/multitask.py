"""The loss of the heads that are served: over every subset of the modalities, with contrast between them.

# B batch, M modalities, D width, E embedding dimensions, N rows of the manifest, H heads, C classes"""

from collections.abc import Mapping
from itertools import combinations

from torch import Tensor

from models.calibration import subset_name
from models.nets.network import EncodedBatch
from training.data.pairs import Rows
from training.encode import subsets
from training.plan import Plan
from training.workbench import CONTRASTIVE, SHARED


def multitask_loss(plan: Plan, rows: Rows, encoded: EncodedBatch) -> Tensor:
    """Weighted sum over subsets and heads, and contrastive terms between the embeddings of the subsets."""
    source, network = plan.source, plan.bench.network
    truth = source.truth.take(rows)
    total = encoded.vectors_BMD.new_zeros(())
    embeddings: dict[str, Tensor] = {}
    for part in subsets(source.modalities):
        keep_B, mask_BM = source.shown(rows, part)
        if not keep_B.any():
            continue
        own = encoded if keep_B.all() else encoded.take(keep_B)  # many tokens are not copied for nothing
        output = network.fuse(own, mask_BM[keep_B])
        weight = plan.recipe.objective.subsets.get(subset_name(part), 1.0)
        total = total + weight * plan.head_loss(SHARED, output.heads, truth.take(keep_B))
        spread_BE = total.new_zeros(len(rows), output.embedding_BE.shape[1])
        spread_BE[keep_B] = output.embedding_BE
        embeddings[subset_name(part)] = spread_BE
    return total + _contrastive(plan, rows, embeddings)


def _contrastive(plan: Plan, rows: Rows, embeddings: Mapping[str, Tensor]) -> Tensor:
    """Between single modalities, and between each of them and the fused vector, on complete rows."""
    source, bench = plan.source, plan.bench
    weights = {task: getattr(plan.recipe.objective, task) for task in CONTRASTIVE}
    whole_B = source.present_NM[rows].all(1)
    total = next(iter(embeddings.values())).new_zeros(())
    if int(whole_B.sum()) < 2 or len(source.modalities) < 2:
        return total
    same_BB = source.same(rows)[whole_B][:, whole_B]
    fused = subset_name(source.modalities)
    for left, right in combinations([*source.modalities, fused], 2):
        task = "contrastive_fused" if right == fused else "contrastive"
        if weights[task]:
            pair = embeddings[left][whole_B], embeddings[right][whole_B]
            total = total + bench.contrastive({task: bench.contrast(*pair, same_BB)}, weights)
    return total
