"""Several fusions on the same frozen encoders, each from several seeds; beside them other recipes, trained whole.

All is judged on the validation rows: which fusion to take is a choice, and test rows are not for choices. Only the
fused heads are: transcripts and captions are read off the encoders, so none of them depends on the fusion."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn

from models.config import MODALITIES, FusionName
from models.errors import ConfigError
from models.nets.network import Network
from training.data.encoded_rows import EncodedRows
from training.data.pairs import Pairs
from training.fused_stages import encode_rows, fusion_job, validate
from training.optimisation.loop import Progress, fit
from training.optimisation.state import RunState, load_module, read_state
from training.plan import Plan
from training.recipe import Recipe
from training.setup import set_up
from training.stages import run_stages
from training.workbench import Workbench

TRIALS = "trials.json"
ASIDE = ("transcript", "caption")
"""Figures of what stands beside the fused heads; no head may be called so."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to compare: fusions by name, from so many seeds each, and whole recipes."""

    names: Sequence[FusionName]
    num_seeds: int
    others: Sequence[Recipe] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """One training.

    figures: `<subset>/<head>` → a validation figure of a fused head, higher is better.
    seconds: of what only this trial did: its fusion and heads, or for a whole recipe everything but the caches.
    num_parameters: trained by it.
    recipe_hash: of a whole recipe, so that one that was changed since is trained again; else empty.
    """

    name: str
    seed: int
    figures: dict[str, float]
    seconds: float
    num_parameters: int
    recipe_hash: str = ""


def compare(recipe: Recipe, pairs: Pairs, asked: Asked, work: Path, out: Path, progress: Progress) -> list[Trial]:
    """Train what is asked for, one after the other. Trials that `out` has are kept: an interrupted run goes on.

    Raises:
        ConfigError: the recipe has no stages.fusion, or `out` holds trials of another recipe or other data.
    """
    if recipe.stages.fusion is None:
        raise ConfigError("compare trains stages.fusion, which the recipe does not have. Add it.")
    if recipe.network.transcript or recipe.network.caption:
        progress.log("transcripts and captions are not compared: they do not depend on the fusion")
    fingerprint = _hash(f"{recipe.model_dump_json()}{pairs.hash}")
    ledger, state_path = _Ledger(out, fingerprint), work / f"{recipe.name}.comparison.state.safetensors"
    wanted = [(name, seed) for name in asked.names for seed in range(asked.num_seeds)]
    missing = [(name, seed) for name, seed in wanted if (name, seed, "") not in ledger]
    if missing:
        plan = _with_encoders(set_up(recipe, pairs, work, progress).plan, fingerprint, state_path)
        with_tokens = any(name == "cross_attention" for name, _ in missing)
        encoded = encode_rows(plan, np.arange(len(pairs.records)), with_tokens=with_tokens)
        for name, seed in missing:
            ledger.add(_fusion_trial(name, seed, plan, encoded, work))
    state_path.unlink(missing_ok=True)  # only now: until then, a run that is interrupted needs the encoders
    for other in asked.others:
        for seed in range(asked.num_seeds):
            own = other.model_copy(update={"seed": seed})
            if (own.name, seed, _hash(own.model_dump_json())) not in ledger:
                ledger.add(_whole_trial(own, pairs, work, progress))
    return ledger.trials


class _Ledger:
    """The trials so far, on disk after each."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = folder / TRIALS, fingerprint
        self.trials: list[Trial] = []
        folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["fingerprint"] != fingerprint:
                raise ConfigError(
                    f"--out {folder} holds a comparison of another recipe or other data. Name another folder."
                )
            self.trials = [_fused_only(Trial(**trial)) for trial in kept["trials"]]

    def __contains__(self, key: object) -> bool:
        return key in {(trial.name, trial.seed, trial.recipe_hash) for trial in self.trials}

    def add(self, trial: Trial) -> None:
        self.trials = [old for old in self.trials if (old.name, old.seed) != (trial.name, trial.seed)]
        self.trials.append(trial)
        entry = {"fingerprint": self._fingerprint, "trials": [asdict(trial) for trial in self.trials]}
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(entry, indent=1), encoding="utf-8")
        partial.replace(self._path)


def _fused_only(trial: Trial) -> Trial:
    """Without what trials told before, of heads that they do not train."""
    return replace(
        trial, figures={name: value for name, value in trial.figures.items() if name.split("/")[-1] not in ASIDE}
    )


def _with_encoders(plan: Plan, fingerprint: str, path: Path) -> Plan:
    """Train each encoder alone, from where an interrupted run stopped; those of a version are trained already."""
    if plan.recipe.start_from:
        return plan
    state = read_state(path)
    if state is None or state.fingerprint != fingerprint:
        state = RunState(fingerprint)
    if state.finished:
        load_module(path, plan.bench)
    run_stages(plan, state=state, path=path, only=MODALITIES)
    return plan


def _fusion_trial(name: FusionName, seed: int, plan: Plan, encoded: EncodedRows, work: Path) -> Trial:
    recipe, trained = plan.recipe, plan.bench.network
    stage = recipe.stages.fusion
    assert stage is not None  # noqa: S101 - checked before the encoders were trained
    torch.manual_seed(seed)
    bench = Workbench(Network(trained.config.model_copy(update={"fusion": name})), recipe.objective)
    bench.network.encoders.load_state_dict(trained.encoders.state_dict())
    bench.network.norms.load_state_dict(trained.norms.state_dict())
    bench.to(plan.source.device)
    own = replace(plan, bench=bench, recipe=recipe.model_copy(update={"seed": seed}))
    plan.progress.log(f"{name}, seed {seed}")
    job = fusion_job("fusion", stage, own, encoded)
    path = work / f"{recipe.name}.{name}.state.safetensors"
    began = perf_counter()
    rows = plan.source.pairs.rows("train")
    fit(job, bench, rows, seed=seed, state=RunState(""), path=path, progress=plan.progress)
    seconds = perf_counter() - began
    path.unlink()
    trained_parameters = [parameter for parameters, _ in job.groups for parameter in parameters]
    return Trial(name, seed, job.validate(bench.eval()), round(seconds, 1), _count(trained_parameters))


def _whole_trial(recipe: Recipe, pairs: Pairs, work: Path, progress: Progress) -> Trial:
    """On the same rows: only the names of its heads count of its own columns, and none of its splits."""
    progress.log(f"{recipe.name}, seed {recipe.seed}")
    plan = set_up(recipe, pairs, work, progress).plan
    path = work / f"{recipe.name}.comparison.state.safetensors"
    began = perf_counter()
    run_stages(plan, state=RunState(""), path=path)
    seconds = perf_counter() - began
    path.unlink(missing_ok=True)
    size = _count(list(plan.bench.network.parameters()))
    return Trial(
        recipe.name, recipe.seed, validate(plan), round(seconds, 1), size, _hash(recipe.model_dump_json())
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _count(parameters: Sequence[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
