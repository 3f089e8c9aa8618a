"""The stages of training: each encoder alone, fusion on frozen vectors, all together.

# N rows of the manifest, B batch, M modalities, D width, C classes, H heads"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.calibration import subset_name
from models.errors import ConfigError
from models.nets.encoders.image import ImageEncoder
from models.nets.encoders.text import TextEncoder
from models.nets.heads import HeadOutputs
from models.nets.network import EncodedBatch, Network
from training.data.augment import mix_maps
from training.data.batches import BatchSource, EncoderInputs
from training.data.encoded_rows import EncodedRows
from training.data.pairs import Rows
from training.data.truth import Truth
from training.encode import chunks, encode, encode_all, encode_each, gather_batch, subset_mask, subsets, together
from training.measures.validation import joined, subset_figures, validation_figures
from training.objective import head_losses
from training.optimisation import distributed
from training.optimisation.curves import Scalars, no_scalars
from training.optimisation.execution import autocast, executed
from training.optimisation.job import Job
from training.optimisation.loop import Progress, fit
from training.optimisation.state import RunState
from training.recipe import Recipe, Stage
from training.workbench import CONTRASTIVE, SHARED, Workbench, learned_by

STAGES = ("image", "text", "fusion", "joint")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What every stage needs: the parts to train, the data, and the recipe.

    scratch: a folder for what is too large for memory; None is the system's own.
    balance: head → weights (C,) of its labels; see `class_balance`.
    """

    bench: Workbench
    source: BatchSource
    recipe: Recipe
    unknown_id: int
    progress: Progress
    scratch: Path | None = None
    balance: Mapping[str, Tensor] = field(default_factory=dict)

    def augmented(self, rows: Rows, generator: torch.Generator) -> EncoderInputs:
        """Encoder inputs of this process's share of a training batch, drawn from a generator of its own."""
        own = distributed.own_generator(generator)
        return self.source.augmented(distributed.share(rows), self.recipe.augmentation, self.unknown_id, own)

    def head_loss(self, name: str, found: HeadOutputs, truth: Truth) -> Tensor:
        """The weighted sum over heads, those of one encoder alone or SHARED; 0 where no row has a cell."""
        objective = self.recipe.objective
        losses = head_losses(
            self.bench.network.config, found, truth, smoothing=objective.label_smoothing, balance=self.balance
        )
        total: Tensor = self.bench.tasks[name](losses, objective.heads)
        return total


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
        "joint": joint_job,
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
    source, bench = plan.source, plan.bench
    val = source.pairs.rows("val")
    val = val[source.has[name][val]]

    def vectors_of(module: Workbench, inputs: EncoderInputs) -> Tensor:
        return module.network.normalise(name, encode(module.network, name, inputs)).vector_nD

    def loss(rows: Rows, generator: torch.Generator) -> Tensor:
        inputs, share = plan.augmented(rows, generator), 0.0
        partner_B = torch.arange(len(rows))
        if name == "image" and inputs.image is not None:
            mixed, partner_n, share = mix_maps(inputs.image, plan.recipe.augmentation, generator)
            inputs, partner_B = EncoderInputs(mixed, None), distributed.spread_index(partner_n)
        with autocast(stage.precision, source.device):
            vectors_nD = vectors_of(bench, inputs).float()
        found, truth = bench.run_alone(name, distributed.gather(vectors_nD)), source.truth.take(rows)
        own = plan.head_loss(name, found, truth)
        if not share:
            return own
        return (1 - share) * own + share * plan.head_loss(name, found, truth.take(partner_B))

    @torch.no_grad()
    def validate(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Workbench)  # noqa: S101 - for the type checker
        if not len(val):
            return {}
        parts = [module.run_alone(name, vectors_of(module, source.plain(rows))) for rows in chunks(val)]
        return validation_figures(module.network.config, joined(parts), source.truth.take(val))

    fresh = [*bench.network.norms[name].parameters(), *bench.alone[name].parameters()]
    groups = [*_groups(bench.network, stage, [name], fresh), *bench.learned_groups(name, stage)]
    return Job(name, stage, groups, loss, validate, learned_by(name))


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


def joint_job(name: str, stage: Stage, plan: Plan) -> Job:
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
        network.targets,
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
        return subset_figures(module.network, source, val, lambda rows: encoded_of(module, rows, None))

    groups = [*groups, *plan.bench.learned_groups(SHARED, stage)]
    return Job(name, stage, groups, loss, validate, learned_by(SHARED))


@torch.no_grad()
def validate(plan: Plan) -> dict[str, float]:
    """Figures of the network as it stands on the validation rows: `<subset>/<head>`, higher is better."""
    network, source = plan.bench.network.eval(), plan.source
    return subset_figures(
        network,
        source,
        source.pairs.rows("val"),
        lambda rows: encode_all(network, source, rows, source.plain(rows)),
    )


def multitask_loss(plan: Plan, rows: Rows, encoded: EncodedBatch) -> Tensor:
    """Weighted sum over subsets and heads, and contrastive terms between the embeddings of the subsets."""
    source, network = plan.source, plan.bench.network
    truth, present_BM = source.truth.take(rows), source.present_NM[rows]
    total = encoded.vectors_BMD.new_zeros(())
    embeddings: dict[str, Tensor] = {}
    for part in subsets(source.modalities):
        keep_B, mask_BM = subset_mask(present_BM, source.modalities, part)
        if not keep_B.any():
            continue
        output = network.fuse(encoded.take(keep_B), mask_BM[keep_B])
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
