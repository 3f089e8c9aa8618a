"""`python -m app score` on many machines: Ray Data hands out parts of a manifest, each of which becomes one file.

    python -m deploy.ray.score products.csv --out scores/ --actors 8

`scores/part-00000.jsonl` and so on: a line for each row, in the rows' order over all parts. A part is renamed into
place when it is whole, so the same command goes on after an interruption. Every node must reach the manifest, its
files and --out under the same path."""

import argparse
import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import ray

from app.bulk.options import columns_of
from app.bulk.score_command import COLUMNS, parser, scoring_settings, wanted_of
from app.bulk.scoring import score_records
from app.choice import choose_models
from app.loading import load_service
from models.checkpoint import read_checkpoint
from models.manifest import read_records

PART_ROWS = 1_000


class Scorer:
    """One actor: a service of its own, whose pipe scores one part after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._service = load_service(scoring_settings(options))
        self._run(self._service.start())
        self._model = self._service.models[0]
        self._records = read_records(options.manifest, columns_of(options, self._model.predictor.config, COLUMNS))

    def __call__(self, part: dict[str, Any]) -> dict[str, Any]:
        """Score part number `part["id"]`, and tell how many rows it has, and how many of them are problems."""
        number = int(part["id"])
        records = self._records[number * PART_ROWS : (number + 1) * PART_ROWS]
        out = part_path(self._options.out, number)
        partial = out.with_suffix(".partial")
        done = self._run(
            score_records(records, self._service, self._model, partial, wanted_of(self._options), lambda _: None)
        )
        partial.replace(out)
        return {"rows": done.num_done, "problems": done.num_faulty}

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def part_path(folder: Path, number: int) -> Path:
    """Where a part is, once it is whole."""
    return folder / f"part-{number:05}.jsonl"


def main(arguments: list[str]) -> int:
    """Score what is not there yet. Returns 1 where rows are at fault, else 0."""
    flags = parser()
    flags.add_argument("--actors", type=int, default=2, help="processes, of one core each (2)")
    options = flags.parse_args(arguments)
    options.out = (options.out or options.manifest.with_suffix(".scores")).absolute()
    options.manifest = options.manifest.absolute()
    options.out.mkdir(parents=True, exist_ok=True)
    num_rows = _count_rows(options)
    parts = [number for number in range(-(-num_rows // PART_ROWS)) if not part_path(options.out, number).exists()]
    if not parts:
        print(f"{options.out}: all {num_rows:,} rows are there")
        return 0
    # Replicas of one machine share its cores: a worker and a core each.
    environment = {"INTERMODAL_NUM_WORKERS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ray.init(ignore_reinit_error=True, log_to_driver=False, runtime_env={"env_vars": environment})
    done = (
        ray.data.from_items([{"id": number} for number in parts], override_num_blocks=len(parts))
        .map(
            Scorer,
            fn_constructor_args=(options,),
            compute=ray.data.ActorPoolStrategy(size=min(options.actors, len(parts))),
            num_cpus=1,
        )
        .take_all()
    )
    rows, problems = (sum(part[name] for part in done) for name in ("rows", "problems"))
    print(f"{options.out}: {rows:,} rows are written, {problems:,} of them problems")
    return int(bool(problems))


def _count_rows(options: argparse.Namespace) -> int:
    """Of the manifest, which is thereby checked before any actor starts."""
    settings = scoring_settings(options)
    [(name, version)] = choose_models(settings)
    config = read_checkpoint(settings.checkpoints / name / str(version)).config
    return len(read_records(options.manifest, columns_of(options, config, COLUMNS)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
