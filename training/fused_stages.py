"""The stages of the fused heads: on frozen vectors, and together with the encoders.

# N rows of the manifest, B batch, M modalities, D width"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from models.calibration import subset_name
from models.nets.encoders import Encoded
from models.nets.network import EncodedBatch, Network
from training.captions import caption_figures, ensure_scale
from training.data.batches import BatchSource, EncoderInputs
from training.data.encoded_rows import EncodedRows
from training.data.pairs import Rows
from training.data.written import Drawn
from training.encode import chunks, encode, encode_all, encode_each, gather_batch, together
from training.measures.validation import subset_figures
from training.multitask import multitask_loss
from training.optimisation import distributed
from training.optimisation.execution import autocast
from training.optimisation.job import Job
from training.plan import Plan
from training.recipe import Stage
from training.speech import transcript_figures
from training.workbench import SHARED, Workbench, learned_by

Inputs = TypeVar("Inputs")
Frozen = tuple[Rows, dict[str, Encoded]]


class _Joint(NamedTuple):
    """What a step with all encoders takes: inputs, joined recordings, this process's rows, and their captions."""

    inputs: EncoderInputs
    speech: EncoderInputs | None
    own: Rows
    drawn: Drawn | None


Augmented = tuple[Rows, _Joint]


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
        if joint.speech is not None:
            total = total + plan.spoken_loss(_heard(network, joint.speech, stage, plan), joint.speech)
        if joint.drawn is not None:
            loss = plan.written_loss(dict(batch.details), joint.own, joint.drawn, stage.precision)
            total = total + plan.recipe.objective.caption * loss
        return total

    def plain(module: Workbench, rows: Rows) -> EncodedBatch:
        return encode_all(module.network, plan.source, rows, plan.source.plain(rows))

    if network.transcript is not None:
        fresh += network.transcript.parameters()
    if network.caption is not None and writes:
        fresh += network.caption.parameters()
    groups = plan.bench.encoder_groups(network.modalities, stage, fresh)
    return _shared_heads(name, stage, plan, groups, load, batch_of, plain, beside)


def _heard(network: Network, speech: EncoderInputs, stage: Stage, plan: Plan) -> Encoded | None:
    if speech.audio is None:
        return None
    with autocast(stage.precision, plan.source.device):
        return encode(network, "audio", speech)


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
    load: Callable[[Rows, torch.Generator], tuple[Rows, Inputs]],
    batch_of: Callable[[Workbench, tuple[Rows, Inputs]], EncodedBatch],
    plain: Callable[[Workbench, Rows], EncodedBatch],
    beside: Callable[[tuple[Rows, Inputs], EncodedBatch], Tensor | float] | None = None,
) -> Job[tuple[Rows, Inputs]]:
    """The heads that are served, trained on every subset of the modalities in every step.

    The encoders run once a step and only the small fusion repeats. That costs less than drawing one subset at
    random (modality dropout), and makes each subset a first-class input all the same. `plain` is for validation,
    `beside` a loss of what stands beside the fused vector, transcripts and captions; without one these stay as
    they are, and have no figures.
    """
    source = plan.source
    val = source.pairs.rows("val")

    def loss(loaded: tuple[Rows, Inputs]) -> Tensor:
        batch = batch_of(plan.bench, loaded)
        # Details are of this process's rows alone, and no fused head's.
        fused = multitask_loss(plan, loaded[0], batch._replace(details={}))
        return fused if beside is None else fused + beside(loaded, batch)

    @torch.no_grad()
    def validate(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Workbench)  # noqa: S101 - for the type checker
        figures = subset_figures(
            module.network, source, val, lambda rows: plain(module, rows), matching=plan.recipe.objective.matches
        )
        return figures if beside is None else figures | _aside_figures(module.network, source, val)

    groups = [*groups, *plan.bench.learned_groups(SHARED, stage)]
    return Job(name, stage, groups, load, loss, validate, learned_by(SHARED))


@torch.no_grad()
def validate(plan: Plan) -> dict[str, float]:
    """Figures of the fused heads as they stand on the validation rows: `<subset>/<head>`, higher is better."""
    network, source = plan.bench.network.eval(), plan.source
    val = source.pairs.rows("val")
    return subset_figures(
        network,
        source,
        val,
        lambda rows: encode_all(network, source, rows, source.plain(rows)),
        matching=plan.recipe.objective.matches,
    )


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
