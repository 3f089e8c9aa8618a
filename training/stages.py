"""The stages of training: each encoder alone, fusion on frozen vectors, all together.

# N rows of the manifest, B batch, M modalities, D width, C classes, H heads"""

from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.calibration import subset_name
from models.config import MODALITIES
from models.errors import ConfigError
from models.nets.encoders import Encoded
from models.nets.network import EncodedBatch, Network
from training.caption_stage import caption_job
from training.captions import caption_figures, ensure_scale
from training.data.augment import mix_maps
from training.data.batches import BatchSource, EncoderInputs
from training.data.encoded_rows import EncodedRows
from training.data.pairs import Rows
from training.data.written import Drawn
from training.encode import chunks, encode, encode_all, encode_each, gather_batch, together
from training.measures.validation import joined, subset_figures, validation_figures
from training.multitask import multitask_loss
from training.optimisation import distributed
from training.optimisation.curves import Scalars, no_scalars
from training.optimisation.execution import autocast, executed
from training.optimisation.job import Job
from training.optimisation.loop import fit
from training.optimisation.state import RunState
from training.plan import Plan
from training.recipe import Stage
from training.speech import transcript_figures
from training.workbench import SHARED, Workbench, learned_by

STAGES = (*MODALITIES, "caption", "fusion", "joint")

Inputs = TypeVar("Inputs")
Frozen = tuple[Rows, dict[str, Encoded]]


def run_stages(
    plan: Plan,
    *,
    state: RunState,
    path: Path,
    scalars: Scalars = no_scalars,
    only: Container[str] = STAGES,
) -> None:
    """Run the recipe's stages that are not finished yet and are among `only`, in order, in place."""
    makers: dict[str, Callable[[str, Stage, Plan], Job[Any]]] = {
        **dict.fromkeys(MODALITIES, _alone),
        "caption": caption_job,
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
        if name == "caption" and plan.source.written is not None:
            rows = rows[plan.source.written.has_N[rows]]
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


class _Joint(NamedTuple):
    """What a step with all encoders takes: inputs, joined recordings, this process's rows, and their captions."""

    inputs: EncoderInputs
    speech: EncoderInputs | None
    own: Rows
    drawn: Drawn | None


Augmented = tuple[Rows, _Joint]


class _Loaded(NamedTuple):
    """Rows of the whole batch, this process's inputs, and by what share each row is blended with its partner."""

    rows: Rows
    inputs: EncoderInputs
    partner_B: Tensor
    share: float


def _alone(name: str, stage: Stage, plan: Plan) -> Job[_Loaded]:
    """One encoder with heads of its own, which are dropped afterwards; transcripts' head is the network's."""
    source, bench = plan.source, plan.bench
    val = source.pairs.rows("val")
    val = val[source.has[name][val]]

    def load(rows: Rows, generator: torch.Generator) -> _Loaded:
        partner_B = torch.arange(len(rows))
        if name == "audio" and bench.network.transcript is not None:
            return _Loaded(rows, plan.speech(rows, generator), partner_B, 0.0)
        inputs, share = plan.augmented(rows, generator), 0.0
        if name == "image" and inputs.image is not None:
            mixed, partner_n, share = mix_maps(inputs.image, plan.recipe.augmentation, generator)
            inputs, partner_B = EncoderInputs(mixed), distributed.spread_index(partner_n)
        return _Loaded(rows, inputs, partner_B, share)

    def loss(loaded: _Loaded) -> Tensor:
        rows, inputs, partner_B, share = loaded
        with autocast(stage.precision, source.device):
            encoded = encode(bench.network, name, inputs)
            vectors_nD = bench.network.normalise(name, encoded).vector_nD.float()
        found, truth = bench.run_alone(name, distributed.gather(vectors_nD)), source.truth.take(rows)
        if name == "audio" and inputs.audio is not None:
            # A recording that others were joined to is not what its row's labels say.
            truth = truth.where(distributed.gather(inputs.audio.alone_n.float()) > 0)
        own = plan.head_loss(name, found, truth) + plan.spoken_loss(encoded, inputs)
        if not share:
            return own
        return (1 - share) * own + share * plan.head_loss(name, found, truth.take(partner_B))

    @torch.no_grad()
    def validate(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Workbench)  # noqa: S101 - for the type checker
        if not len(val):
            return {}
        network = module.network
        vectors = (
            network.normalise(name, encode(network, name, source.plain(rows))).vector_nD for rows in chunks(val)
        )
        parts = [module.run_alone(name, vectors_nD) for vectors_nD in vectors]
        figures = validation_figures(network.config, joined(parts), source.truth.take(val))
        return figures | (transcript_figures(network, source, val) if name == "audio" else {})

    transcript = bench.network.transcript
    heard = [] if name != "audio" or transcript is None else list(transcript.parameters())
    fresh = [*bench.network.norms[name].parameters(), *bench.alone[name].parameters(), *heard]
    groups = [*_groups(bench.network, stage, [name], fresh), *bench.learned_groups(name, stage)]
    return Job(name, stage, groups, load, loss, validate, learned_by(name))


def _fusion(name: str, stage: Stage, plan: Plan) -> Job[Frozen]:
    return fusion_job(name, stage, plan, encode_rows(plan, np.arange(len(plan.source.pairs.records))))


def fusion_job(name: str, stage: Stage, plan: Plan, encoded: EncodedRows) -> Job[Frozen]:
    """All but the encoders, on what the frozen encoders gave once for every row of the manifest."""
    groups = [(_beyond_encoders(plan.bench), stage.learning_rate)]

    def load(rows: Rows, _generator: torch.Generator | None = None) -> Frozen:
        # Of the whole batch, in every process: no encoder runs, so there is no work to share.
        return rows, encoded.take(rows, plan.source.device)

    def batch_of(module: Workbench, loaded: Frozen) -> EncodedBatch:
        return together(module.network, loaded[1], plan.source.present_NM[loaded[0]])

    return _shared_heads(
        name, stage, plan, groups, load, batch_of, lambda module, rows: batch_of(module, load(rows))
    )


def joint_job(name: str, stage: Stage, plan: Plan) -> Job[Augmented]:
    """Everything at once, encoders included; what is said is learnt from recordings that are joined for it."""
    network = plan.bench.network
    fresh = _beyond_encoders(plan.bench)
    writes = network.caption is not None and plan.recipe.objective.caption > 0
    if writes:
        ensure_scale(network.eval(), plan.source)

    def load(rows: Rows, generator: torch.Generator) -> Augmented:
        inputs = plan.augmented(rows, generator)
        speech = plan.speech(rows, generator) if network.transcript is not None else None
        own = distributed.share(rows)
        drawn = plan.draw_captions(own, distributed.own_generator(generator)) if writes else None
        return rows, _Joint(inputs, speech, own, drawn)

    def batch_of(module: Workbench, loaded: Augmented) -> EncodedBatch:
        source, (_, joint) = plan.source, loaded
        with autocast(stage.precision, source.device):
            encoded = encode_each(module.network, source, joint.own, joint.inputs)
            batch = together(module.network, encoded, source.present_NM[joint.own])
        # Details stay with the process whose rows they are of.
        return gather_batch(batch)._replace(details=module.network.details(encoded))

    def beside(loaded: Augmented, batch: EncodedBatch) -> Tensor | float:
        joint = loaded[1]
        total: Tensor | float = 0.0
        if joint.speech is not None and joint.speech.audio is not None:
            with autocast(stage.precision, plan.source.device):
                encoded = encode(network, "audio", joint.speech)
            total = total + plan.spoken_loss(encoded, joint.speech)
        if joint.drawn is not None:
            loss = plan.written_loss(dict(batch.details), joint.own, joint.drawn, stage.precision)
            total = total + plan.recipe.objective.caption * loss
        return total

    def plain(module: Workbench, rows: Rows) -> EncodedBatch:
        return encode_all(module.network, plan.source, rows, plan.source.plain(rows))

    if network.caption is not None and writes:
        fresh += network.caption.parameters()
    groups = _groups(network, stage, network.modalities, fresh)
    return _shared_heads(name, stage, plan, groups, load, batch_of, plain, beside)


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
        *([] if network.transcript is None else [network.transcript]),
    )
    return [parameter for part in parts for parameter in part.parameters()]


def _nothing_beside(_loaded: object, _batch: EncodedBatch) -> float:
    return 0.0


def _shared_heads(
    name: str,
    stage: Stage,
    plan: Plan,
    groups: list[tuple[list[nn.Parameter], float]],
    load: Callable[[Rows, torch.Generator], tuple[Rows, Inputs]],
    batch_of: Callable[[Workbench, tuple[Rows, Inputs]], EncodedBatch],
    plain: Callable[[Workbench, Rows], EncodedBatch],
    beside: Callable[[tuple[Rows, Inputs], EncodedBatch], Tensor | float] = _nothing_beside,
) -> Job[tuple[Rows, Inputs]]:
    """The heads that are served, trained on every subset of the modalities in every step.

    The encoders run once a step and only the small fusion repeats. That costs less than drawing one subset at
    random (modality dropout), and makes each subset a first-class input all the same. `plain` is for validation,
    `beside` a loss that is no head's.
    """
    source = plan.source
    val = source.pairs.rows("val")

    def loss(loaded: tuple[Rows, Inputs]) -> Tensor:
        batch = batch_of(plan.bench, loaded)
        return multitask_loss(plan, loaded[0], batch) + beside(loaded, batch)

    @torch.no_grad()
    def validate(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Workbench)  # noqa: S101 - for the type checker
        figures = subset_figures(module.network, source, val, lambda rows: plain(module, rows))
        return figures | _aside_figures(module.network, source, val)

    groups = [*groups, *plan.bench.learned_groups(SHARED, stage)]
    return Job(name, stage, groups, load, loss, validate, learned_by(SHARED))


@torch.no_grad()
def validate(plan: Plan) -> dict[str, float]:
    """Figures of the network as it stands on the validation rows: `<subset>/<head>`, higher is better."""
    network, source = plan.bench.network.eval(), plan.source
    val = source.pairs.rows("val")
    figures = subset_figures(
        network, source, val, lambda rows: encode_all(network, source, rows, source.plain(rows))
    )
    return figures | _aside_figures(network, source, val)


def _aside_figures(network: Network, source: BatchSource, rows: Rows) -> dict[str, float]:
    """Of the heads that stand beside the fused vector, by what they look at."""
    figures = {f"audio/{name}": value for name, value in transcript_figures(network, source, rows).items()}
    if network.config.caption is not None:
        where = subset_name(network.config.caption.reads)
        figures |= {f"{where}/{name}": value for name, value in caption_figures(network, source, rows).items()}
    return figures


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
        encoder: Any = network.encoders[name]
        backbone += encoder.pretrained()
        fresh = [*fresh, *encoder.fresh()]
    groups = [(fresh, stage.learning_rate)]
    return [*groups, (backbone, stage.backbone_learning_rate)] if stage.backbone_learning_rate else groups
