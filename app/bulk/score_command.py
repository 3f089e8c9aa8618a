"""The command line of `python -m app score`: a manifest in, a line of JSON for each of its rows out."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from app.bulk.options import Line, Say, add_columns, columns_of, read_settings, settings_parser
from app.bulk.scoring import Scored, Wanted, score_records
from app.choice import choose_model
from app.loading import load_service
from app.service import Service
from app.settings import PROGRAM, Settings
from models.errors import ConfigError
from models.manifest import Record, read_records

COLUMNS = ("id", "image", "audio", "text", "sensors")


def main(arguments: Sequence[str], say: Say) -> int:
    """Run it; `say` takes each line for stdout. Returns 1 where rows are at fault, 130 after Ctrl-C, else 0.

    Raises:
        ConfigError: no such model or column, or an --out that holds something else.
        ManifestError: a manifest that cannot be read; nothing was written.
    """
    options = parser().parse_args(arguments)
    service = load_service(scoring_settings(options), say)
    records = read_records(options.manifest, columns_of(options, service.models[0].predictor.config, COLUMNS))
    out: Path = options.out or options.manifest.with_suffix(".scores.jsonl")
    try:
        done = asyncio.run(_score(service, records, out, wanted_of(options), say))
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What was written stays; the same command goes on.\n")
        return 130
    kept = f", {done.num_kept:,} were there already" if done.num_kept else ""
    failed = f", {done.num_faulty:,} of them problems" if done.num_faulty else ""
    say(f"{out}: {done.num_written:,} rows are written{failed}{kept}")
    return int(bool(done.num_faulty))


def parser() -> argparse.ArgumentParser:
    """The flags, settings among them."""
    found = argparse.ArgumentParser(
        prog=f"{PROGRAM} score",
        description="Predictions for every row of a manifest, as /predict gives them. Settings are flags too.",
        epilog="Without columns, those that the model was trained on. Called again, it goes on where it ended.",
        parents=[settings_parser()],
        allow_abbrev=False,
    )
    found.add_argument("manifest", type=Path, help="CSV, JSONL or Parquet, or a folder of class folders")
    found.add_argument("--out", type=Path, help="JSON Lines; beside the manifest where it is left out")
    found.add_argument("--model", help="name, or name@version; the default model")
    found.add_argument("--num-labels", type=_count, default=1, help="labels a head, 0 is all (1)")
    found.add_argument("--top-k", type=_count, default=0, help="matches from the model's gallery (0)")
    add_columns(found, COLUMNS)
    return found


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more")
    return int(text)


def wanted_of(options: argparse.Namespace) -> Wanted:
    """What to write of each row."""
    return Wanted(num_labels=options.num_labels, num_matches=options.top_k)


def scoring_settings(options: argparse.Namespace) -> Settings:
    """The settings, for one model; its gallery is opened only where matches are wanted.

    Raises:
        ConfigError: see `read_settings`; or more matches than the limit.
    """
    given = {} if options.top_k else {"galleries": "seed"}
    name, version = choose_model(read_settings(options, **given), options.model)
    settings = read_settings(options, **given, models=f"{name}@{version}")
    if options.top_k > settings.max_top_k:
        raise ConfigError(f"--top-k is {options.top_k:,}; the limit is {settings.max_top_k:,} (--max-top-k).")
    return settings


async def _score(service: Service, records: Sequence[Record], out: Path, wanted: Wanted, say: Say) -> Scored:
    line = Line(len(records), say)

    def progress(done: Scored) -> None:
        if not done.num_written:
            line.begin_at(done.num_kept)
        line.show(done.num_done)

    await service.start()
    try:
        return await score_records(records, service, service.models[0], out, wanted, progress)
    finally:
        await service.close()
