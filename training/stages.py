"""The stages of training: each encoder alone, fusion on frozen vectors, all together.

# N rows of the manifest, B batch, M modalities, D width, C classes, H heads"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.calibration import subset_name
from models.errors import ConfigError
from models.nets.encoders.image import ImageEncoder
from models.nets.encoders.text import TextEncoder
from models.nets.network import EncodedBatch, Network
from training import distributed
from training.augment import mix_maps
from training.batches import BatchSource, EncoderInputs
from training.curves import Scalars, no_scalars
from training.data import UNLABELLED, Rows
from training.encode import chunks, encode, encode_all, encode_each, gather_batch, subset_mask, subsets, together
from training.encoded_rows import EncodedRows
from training.execution import autocast, executed
from training.job import Job
from training.loop import Progress, fit
from training.losses import ContrastiveLoss, classification_loss
from training.recipe import Recipe, Stage
from training.state import RunState

STAGES = ("image", "text", "fusion", "joint")


class Workbench(nn.Module):
    """The network, and what only training needs: each encoder's own heads, and the contrastive scale."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        width, classes = network.config.width, network.config.classes
        self.alone = nn.ModuleDict(
            {
                name: nn.ModuleDict(
                    {head: nn.Linear(width, len(config.labels)) for head, config in classes.items()}
                )
                for name in network.modalities
            }
        )
        self.contrast = ContrastiveLoss()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What every stage needs: the parts to train, the data, and the recipe.

    scratch: a folder for what is too large for memory; None is the system's own.
    """

    bench: Workbench
    source: BatchSource
    recipe: Recipe
    unknown_id: int
    progress: Progress
    scratch: Path | None = None

    def augmented(self, rows: Rows, generator: torch.Generator) -> EncoderInputs:
        """Encoder inputs of this process's share of a training batch, drawn from a generator of its own."""
        own = distributed.own_generator(generator)
        return self.source.augmented(distributed.share(rows), self.recipe.augmentation, self.unknown_id, own)


def run_stages(
    plan: Plan,
    *,
    state: RunState,
    path: Path,
    scalars: Scalars = no_scalars,
    only: Container[str] = STAGES,
) -> None:
    """Run the recipe's stages that are not finished yet and are among `only`, in order, in place."""
    makers: dict[str, Callable[[str, Stage, Plan], Job]] = {
        "image": _alone,
        "text": _alone,
        "fusion": _fusion,
        "joint": _joint,
    }
    for name, make in makers.items():
        if name not in only:
            continue
        stage: Stage | None = getattr(plan.recipe.stages, name)
        if stage is None or name in state.finished:
            continue
        rows = plan.source.pairs.rows("train")
        if name in plan.source.modalities:
            rows = rows[plan.source.has[name][rows]]
        if not len(rows):
            raise ConfigError(f"stages.{name}: no row of train has {name}. Remove the stage, or add such rows.")
        job = make(name, stage, plan)
        with executed(plan.bench.network, stage):
            fit(
                job,
                plan.bench,
                rows,
                seed=plan.recipe.seed,
                state=state,
                path=path,
                progress=plan.progress,
                scalars=scalars,
            )


def _alone(name: str, stage: Stage, plan: Plan) -> Job:
    """One encoder with heads of its own, which are dropped afterwards."""
    source, objective = plan.source, plan.recipe.objective
    val = source.pairs.rows("val")
    val = val[source.has[name][val]]

    def vectors_of(module: Workbench, inputs: EncoderInputs) -> Tensor:
        return module.network.normalise(name, encode(module.network, name, inputs)).vector_nD

    def logits(module: Workbench, vectors_BD: Tensor) -> dict[str, Tensor]:
        kept_BD = module.network.dropout(vectors_BD)
        return {head: layer(kept_BD) for head, layer in module.alone[name].items()}  # type: ignore[operator]

    def loss(rows: Rows, generator: torch.Generator) -> Tensor:
        inputs, share = plan.augmented(rows, generator), 0.0
        partner_B = torch.arange(len(rows))
        if name == "image" and inputs.image is not None:
            mixed, partner_n, share = mix_maps(inputs.image, plan.recipe.augmentation, generator)
            inputs, partner_B = EncoderInputs(mixed, None), distributed.spread_index(partner_n)
        with autocast(stage.precision, source.device):
            vectors_nD = vectors_of(plan.bench, inputs).float()
        found, labels_BH = logits(plan.bench, distributed.gather(vectors_nD)), source.labels_NH[rows]
        own = classification_loss(found, labels_BH, objective.heads, objective.label_smoothing)
        if not share:
            return own
        other = classification_loss(found, labels_BH[partner_B], objective.heads, objective.label_smoothing)
        return (1 - share) * own + share * other

    @torch.no_grad()
    def validate(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Workbench)  # noqa: S101 - for the type checker
        if not len(val):
            return {}
        parts = [logits(module, vectors_of(module, source.plain(rows))) for rows in chunks(val)]
        found = {head: torch.cat([part[head] for part in parts]) for head in parts[0]}
        return _accuracies(found, source.labels_NH[val])

    fresh = [*plan.bench.network.norms[name].parameters(), *plan.bench.alone[name].parameters()]
    return Job(name, stage, _groups(plan.bench.network, stage, [name], fresh), loss, validate)


def _fusion(name: str, stage: Stage, plan: Plan) -> Job:
    return fusion_job(name, stage, plan, encode_rows(plan, np.arange(len(plan.source.pairs.records))))


def fusion_job(name: str, stage: Stage, plan: Plan, encoded: EncodedRows) -> Job:
    """All but the encoders, on what the frozen encoders gave once for every row of the manifest."""
    groups = [(_beyond_encoders(plan.bench), stage.learning_rate)]

    def encoded_of(module: Workbench, rows: Rows, _generator: torch.Generator | None) -> EncodedBatch:
        # Of the whole batch, in every process: no encoder runs, so there is no work to share.
        found = encoded.take(rows, plan.source.device)
        return together(module.network, found, plan.source.present_NM[rows])

    return _shared_heads(name, stage, plan, groups, encoded_of)


def _joint(name: str, stage: Stage, plan: Plan) -> Job:
    """Everything at once, encoders included."""
    network = plan.bench.network
    fresh = _beyond_encoders(plan.bench)

    def encoded_of(module: Workbench, rows: Rows, generator: torch.Generator | None) -> EncodedBatch:
        if generator is None:
            encoded = encode_each(module.network, plan.source, rows, plan.source.plain(rows))
            return together(module.network, encoded, plan.source.present_NM[rows])
        own, inputs = distributed.share(rows), plan.augmented(rows, generator)
        with autocast(stage.precision, plan.source.device):
            encoded = encode_each(module.network, plan.source, own, inputs)
            batch = together(module.network, encoded, plan.source.present_NM[own])
        return gather_batch(batch)

    return _shared_heads(name, stage, plan, _groups(network, stage, network.modalities, fresh), encoded_of)


def _beyond_encoders(bench: Workbench) -> list[nn.Parameter]:
    network = bench.network
    parts = (
        network.norms,
        network.token_layers,
        network.fusion,
        network.linear,
        network.heads,
        network.embedding,
        bench.contrast,
    )
    return [parameter for part in parts for parameter in part.parameters()]


def _shared_heads(
    name: str,
    stage: Stage,
    plan: Plan,
    groups: list[tuple[list[nn.Parameter], float]],
    encoded_of: Callable[[Workbench, Rows, torch.Generator | None], EncodedBatch],
) -> Job:
    """The heads that are served, trained on every subset of the modalities in every step.

    The encoders run once a step and only the small fusion repeats. That costs less than drawing one subset at
    random (modality dropout), and makes each subset a first-class input all the same.
    """
    source = plan.source
    val = source.pairs.rows("val")

    def loss(rows: Rows, generator: torch.Generator) -> Tensor:
        return multitask_loss(plan, rows, encoded_of(plan.bench, rows, generator))

    @torch.no_grad()
    def validate(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Workbench)  # noqa: S101 - for the type checker
        return _subset_accuracies(module.network, source, val, lambda rows: encoded_of(module, rows, None))

    return Job(name, stage, groups, loss, validate)


@torch.no_grad()
def validate(plan: Plan) -> dict[str, float]:
    """Figures of the network as it stands on the validation rows: `<subset>/<head>`, higher is better."""
    network, source = plan.bench.network.eval(), plan.source
    return _subset_accuracies(
        network,
        source,
        source.pairs.rows("val"),
        lambda rows: encode_all(network, source, rows, source.plain(rows)),
    )


def _subset_accuracies(
    network: Network, source: BatchSource, rows: Rows, encoded_of: Callable[[Rows], EncodedBatch]
) -> dict[str, float]:
    """Accuracy by subset and head, some rows at a time."""
    logits: dict[str, list[dict[str, Tensor]]] = {}
    kept: dict[str, list[Tensor]] = {}
    for chunk in chunks(rows):
        encoded = encoded_of(chunk)
        for part in subsets(source.modalities):
            keep_B, mask_BM = subset_mask(source.present_NM[chunk], source.modalities, part)
            if keep_B.any():
                output = network.fuse(encoded.take(keep_B), mask_BM[keep_B])
                logits.setdefault(subset_name(part), []).append(output.logits)
                kept.setdefault(subset_name(part), []).append(source.labels_NH[chunk][keep_B])
    figures: dict[str, float] = {}
    for subset, found in logits.items():
        whole = {head: torch.cat([part[head] for part in found]) for head in found[0]}
        accuracies = _accuracies(whole, torch.cat(kept[subset]))
        figures |= {f"{subset}/{head}": value for head, value in accuracies.items()}
    return figures


def multitask_loss(plan: Plan, rows: Rows, encoded: EncodedBatch) -> Tensor:
    """Weighted sum over subsets and heads, and contrastive terms between the embeddings of the subsets."""
    source, objective, network = plan.source, plan.recipe.objective, plan.bench.network
    labels_BH, present_BM = source.labels_NH[rows], source.present_NM[rows]
    total = encoded.vectors_BMD.new_zeros(())
    embeddings: dict[str, Tensor] = {}
    for part in subsets(source.modalities):
        keep_B, mask_BM = subset_mask(present_BM, source.modalities, part)
        if not keep_B.any():
            continue
        output = network.fuse(encoded.take(keep_B), mask_BM[keep_B])
        weight = objective.subsets.get(subset_name(part), 1.0)
        total = total + weight * classification_loss(
            output.logits, labels_BH[keep_B], objective.heads, objective.label_smoothing
        )
        spread_BE = total.new_zeros(len(rows), output.embedding_BE.shape[1])
        spread_BE[keep_B] = output.embedding_BE
        embeddings[subset_name(part)] = spread_BE
    return total + _contrastive(plan, rows, embeddings)


def _contrastive(plan: Plan, rows: Rows, embeddings: Mapping[str, Tensor]) -> Tensor:
    """InfoNCE between single modalities, and between each of them and the fused vector, on complete rows."""
    source, objective = plan.source, plan.recipe.objective
    whole_B = source.present_NM[rows].all(1)
    total = next(iter(embeddings.values())).new_zeros(())
    if int(whole_B.sum()) < 2 or len(source.modalities) < 2:
        return total
    same_BB = source.same(rows)[whole_B][:, whole_B]
    fused = subset_name(source.modalities)
    for left, right in combinations([*source.modalities, fused], 2):
        weight = objective.contrastive_fused if right == fused else objective.contrastive
        if weight:
            pair = embeddings[left][whole_B], embeddings[right][whole_B]
            total = total + weight * plan.bench.contrast(*pair, same_BB)
    return total


@torch.no_grad()
def encode_rows(plan: Plan, rows: Rows, *, with_tokens: bool | None = None) -> EncodedRows:
    """Many rows by the encoders as they stand, nothing random, with progress. Kept by their place in `rows`.

    Tokens are kept where the network looks at them, unless `with_tokens` says otherwise.
    """
    network = plan.bench.network.eval()
    plan.progress.start("vectors", len(rows))
    keep = network.config.uses_tokens if with_tokens is None else with_tokens
    encoded = EncodedRows(with_tokens=keep, folder=plan.scratch)
    for part in chunks(rows):
        found = encode_each(network, plan.source, part, plan.source.plain(part))
        encoded.append(found, plan.source.present_NM[part], plan.source.modalities)
        plan.progress.advance(len(part))
    return encoded


def _groups(
    network: Network, stage: Stage, modalities: Iterable[str], fresh: list[nn.Parameter]
) -> list[tuple[list[nn.Parameter], float]]:
    """New layers at the stage's rate; pretrained ones at theirs, or frozen; the lower half always frozen."""
    backbone: list[nn.Parameter] = []
    for name in modalities:
        encoder = network.encoders[name]
        assert isinstance(encoder, ImageEncoder | TextEncoder)  # noqa: S101 - for the type checker
        backbone += encoder.pretrained()
        fresh = [*fresh, *encoder.fresh()]
    groups = [(fresh, stage.learning_rate)]
    return [*groups, (backbone, stage.backbone_learning_rate)] if stage.backbone_learning_rate else groups


def _accuracies(logits: Mapping[str, Tensor], labels_BH: Tensor) -> dict[str, float]:
    figures = {}
    for column, (head, logits_BC) in enumerate(logits.items()):
        labelled_B = labels_BH[:, column] != UNLABELLED
        if labelled_B.any():
            hits = logits_BC[labelled_B].argmax(1) == labels_BH[labelled_B, column]
            figures[head] = float(hits.float().mean())
    return figures
