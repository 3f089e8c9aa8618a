"""The stages of training, in order: each encoder alone, captions, fusion on frozen vectors, all together."""

from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np

from models.config import MODALITIES
from models.errors import ConfigError
from training.caption_stage import caption_job
from training.encoder_stage import encoder_job
from training.fused_stages import Frozen, encode_rows, fusion_job, joint_job
from training.optimisation.curves import Scalars, no_scalars
from training.optimisation.execution import executed
from training.optimisation.job import Job
from training.optimisation.loop import fit
from training.optimisation.state import RunState
from training.plan import Plan
from training.recipe import Stage

STAGES = (*MODALITIES, "caption", "fusion", "joint")


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
        **dict.fromkeys(MODALITIES, encoder_job),
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
            rows = plan.source.of_subset(rows, (name,))
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


def _fusion(name: str, stage: Stage, plan: Plan) -> Job[Frozen]:
    return fusion_job(name, stage, plan, encode_rows(plan, np.arange(len(plan.source.pairs.records))))
