"""The stage of captions: the decoder alone, on what frozen encoders let it look at.

# n rows, R texts, T subwords"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.captions import DetailRows, Details, caption_figures, ensure_scale, live_details
from training.data.encoded_rows import EncodedRows
from training.data.pairs import Rows
from training.data.written import Drawn
from training.encode import chunks
from training.optimisation import distributed
from training.optimisation.job import Job
from training.plan import Plan
from training.recipe import Stage
from training.workbench import Workbench


class Shown(NamedTuple):
    """Rows of one process, what they let a caption look at, and their captions."""

    rows: Rows
    details: Details
    drawn: Drawn


def caption_job(name: str, stage: Stage, plan: Plan) -> Job[Shown]:
    """The decoder alone, on what the frozen encoders gave once for every row, and for its mirror image."""
    source, network = plan.source, plan.bench.network
    ensure_scale(network.eval(), source)
    used = source.pairs.rows("train", "val")
    kept = _detail_rows(plan, used)
    val = source.pairs.rows("val")

    def load(rows: Rows, generator: torch.Generator) -> Shown:
        own, drawn_from = distributed.share(rows), distributed.own_generator(generator)
        return Shown(own, kept.take(own, source, drawn_from), plan.draw_captions(own, drawn_from))

    def loss(shown: Shown) -> Tensor:
        return plan.written_loss(shown.details, shown.rows, shown.drawn, stage.precision)

    @torch.no_grad()
    def validate(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Workbench)  # noqa: S101 - for the type checker
        return caption_figures(module.network, source, val, kept)

    assert network.caption is not None  # noqa: S101 - the recipe has been checked
    return Job(name, stage, [(list(network.caption.parameters()), stage.learning_rate)], load, loss, validate)


@torch.no_grad()
def _detail_rows(plan: Plan, rows: Rows) -> DetailRows:
    """Many rows by the encoders as they stand: what a caption looks at, of each variant of their images."""
    network, source = plan.bench.network.eval(), plan.source
    num_variants = 1 if source.cache is None else source.cache.num_variants
    plan.progress.start("details", len(rows) * num_variants)
    variants = []
    for variant in range(num_variants):
        encoded = EncodedRows(with_tokens=True, folder=plan.scratch)
        for part in chunks(rows):
            found = live_details(network, source, part, variant=variant)
            encoded.append(found, source.present_NM[part], source.modalities)
            plan.progress.advance(len(part))
        variants.append(encoded)
    return DetailRows(variants, rows)
