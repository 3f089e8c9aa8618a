"""The stage of one encoder alone, with heads of its own that are dropped afterwards.

# n rows of one modality, B batch"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.data.augment import mix_maps
from training.data.batches import EncoderInputs
from training.data.pairs import Rows
from training.encode import chunks, encode
from training.measures.validation import joined, validation_figures
from training.optimisation import distributed
from training.optimisation.execution import autocast
from training.optimisation.job import Job
from training.plan import Plan
from training.recipe import Stage
from training.speech import transcript_figures
from training.workbench import Workbench, learned_by


class _Loaded(NamedTuple):
    """Rows of the whole batch, this process's inputs, and by what share each row is blended with its partner."""

    rows: Rows
    inputs: EncoderInputs
    partner_B: Tensor
    share: float


def encoder_job(name: str, stage: Stage, plan: Plan) -> Job[_Loaded]:
    """One encoder with heads of its own, which are dropped afterwards; transcripts' head is the network's."""
    source, bench = plan.source, plan.bench
    val = source.pairs.rows("val")
    val = source.of_subset(val, (name,))

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
        own = plan.head_loss(name, found, truth)
        if name == "audio":
            own = own + plan.spoken_loss(encoded, inputs)
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
    groups = [*bench.encoder_groups([name], stage, fresh), *bench.learned_groups(name, stage)]
    return Job(name, stage, groups, load, loss, validate, learned_by(name))
