"""`python -m app doctor`: the checks, one line each; then the measurement, a table and a settings file."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app import __version__
from app.choice import choose_models
from app.doctor import report
from app.doctor.bench import ServiceBench
from app.doctor.checks import Check, check_engine, check_machine, check_memory, lines_of
from app.doctor.machine import hardware
from app.doctor.tuning import Tuning, tune
from app.loading import load_service
from app.served import Model
from app.settings import PREFIX, Settings
from app.settings_reading import load_settings
from models.cores import usable_cores
from models.errors import IntermodalError
from retrieval.errors import RetrievalError

Say = Callable[[str], None]

_WIDTH = 78


@dataclass(frozen=True, slots=True)
class Options:
    """What the doctor takes beside the service's settings. `out` is None for the settings file of the service."""

    seconds: float
    out: Path | None
    force: bool


def main(arguments: Sequence[str], say: Say) -> int:
    """Run it; `say` takes each line for stdout. Returns 1 where a check failed, 130 after Ctrl-C, else 0.

    Raises:
        ConfigError: wrong settings, no model to be had, or a file that is not to be overwritten.
    """
    options, rest = parse(arguments)
    # Seeds: a service that runs may have the galleries, and nothing is to be written here.
    settings = load_settings(rest).model_copy(update={"galleries": "seed"})
    out = options.out or settings.settings_file
    report.check_target(out, force=options.force)
    progress = Progress()
    try:
        return _run(settings, options.seconds, out, arguments, say, progress)
    except KeyboardInterrupt:
        progress.clear()
        sys.stderr.write("Interrupted. Nothing was written.\n")
        return 130


def parse(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """The doctor's own options, and what is left for the settings. --help shows both and ends the process."""
    parser = argparse.ArgumentParser(
        prog="python -m app doctor",
        allow_abbrev=False,
        description="Check this machine, measure the default model, and write the best settings.",
        epilog="It also takes every flag of python -m app; see python -m app --help.",
    )
    parser.add_argument("--seconds", type=_seconds, default=2.0, help="of each figure (2)")
    parser.add_argument("--out", type=Path, help="the file to write (the settings file: intermodal.env)")
    parser.add_argument("--force", action="store_true", help="overwrite a file that it did not write")
    found, rest = parser.parse_known_args(list(arguments))
    return Options(found.seconds, found.out, found.force), rest


class Progress:
    """One line on stderr that changes, where that is a terminal; else nothing."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def __call__(self, line: str) -> None:
        """Show it in place of the last one."""
        if self._shown:
            sys.stderr.write(f"\r{line[:_WIDTH]:<{_WIDTH}}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._shown:
            sys.stderr.write(f"\r{'':<{_WIDTH}}\r")
            sys.stderr.flush()


def _run(
    settings: Settings, seconds: float, out: Path, arguments: Sequence[str], say: Say, progress: Progress
) -> int:
    checks = list(check_machine(settings, os.environ))
    models = []
    for name, number in choose_models(settings):
        progress(f"reading {name}@{number}")
        check, model = _load(_only(settings, name, number), name, number)
        checks.append(check)
        if model is not None:
            models.append(model)
    if models:
        checks += [check_engine(settings, models[0].predictor.engine), check_memory(settings)]
    progress.clear()
    for line in lines_of(checks):
        say(line)
    say("")
    failed = any(not check.ok for check in checks)
    if not models:
        say("Nothing was measured, for there is no model. Nothing was written.")
        return 1
    _measure(settings, models[0], seconds, out, arguments, say, progress)
    return int(failed)


def _measure(
    settings: Settings,
    model: Model,
    seconds: float,
    out: Path,
    arguments: Sequence[str],
    say: Say,
    progress: Progress,
) -> None:
    name, number, engine = model.name, model.version, model.predictor.engine
    say(f"Measuring {name}@{number} on {engine.name} ({engine.device}).")
    if os.getloadavg()[0] > usable_cores() / 2:
        say("Other work keeps this machine busy, and makes the figures rough.")
    bench = ServiceBench(_only(settings, name, number), model, seconds)
    tuning = tune(bench, accelerator=engine.device != "cpu", progress=progress)
    progress.clear()
    for line in report.tables(tuning):
        say(line)
    about = {
        "hardware": hardware(),
        "model": f"{name}@{number} on {engine.name} {_version(engine.name)} ({engine.device})",
        "version": f"intermodal {__version__}",
    }
    report.write(out, report.settings_file(tuning, about, arguments))
    say("")
    say(f"Wrote {out}, {_effect(out, settings)}.")
    for line in overridden(tuning, os.environ):
        say(line)


def overridden(tuning: Tuning, environment: Mapping[str, str]) -> list[str]:
    """A line for each variable of the environment that wins over what the file says."""
    return [
        f"{PREFIX}{name.upper()} is set in the environment, and wins over the file. Unset it."
        for name in tuning.settings
        if environment.get(f"{PREFIX}{name.upper()}")
    ]


def _effect(out: Path, settings: Settings) -> str:
    if out.absolute() == settings.settings_file.absolute():
        return "which python -m app reads when it is started here"
    return f"which python -m app reads with --settings-file {out}"


def _load(settings: Settings, name: str, number: int) -> tuple[Check, Model | None]:
    label = f"{name}@{number}"
    try:
        [model] = load_service(settings, lambda _: None).models
    except (IntermodalError, RetrievalError) as error:
        return Check(label, "cannot be served", str(error)), None
    gallery = "no gallery" if model.gallery is None else f"a gallery of {len(model.gallery):,}"
    return Check(label, f"whole, {gallery}"), model


def _only(settings: Settings, name: str, number: int) -> Settings:
    """One thread, as the first pair has."""
    return settings.model_copy(update={"models": f"{name}@{number}", "num_threads": 1})


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _version(engine: str) -> str:
    try:
        return version({"onnx": "onnxruntime"}.get(engine, engine))
    except PackageNotFoundError:  # another build of it, under another name
        return ""
