"""pocketsphinx on the same recordings and strings, with a grammar of the ten digits and its own English model.

It runs in a process of its own, by an interpreter that has it (`pip install pocketsphinx==5.1.1 numpy`). Its model
is of recordings at 16 kHz, so they are resampled to that. What is its user's to choose is tried on some recordings
and strings of all speakers, those that are measured among them, and the best of each is measured: whether features
lose the mean of what went before or of the whole recording, silence around a recording (these are cut close),
another level with some noise (nothing of these is above 4 kHz), and the penalty of a word."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import soxr

from benchmarks.serving.requests import ROOT
from benchmarks.speech.loso import strings_of, summary
from benchmarks.speech.results import OUT, keep
from benchmarks.speech.strings import Recording, Spoken, join_strings, read_digits, read_wav, wav_of
from models.decode_audio import decode_audio
from recipes.spoken_digits import WORDS
from training.measures.words import transcript_figures, word_error_rate

RATE_HZ = 16_000
ONE = "<word>"
MANY = "<word>+"
MEANS = ("live", "batch")
PADS = (0.0, 0.2, 0.3)
PENALTIES = (0.65, 1e-2, 1e-4, 1e-6)  # the first is its default
TRIED_RECORDINGS, TRIED_STRINGS = 50, 6  # of each speaker
Heard = list[tuple[str, float]]


class Settings(NamedTuple):
    """See `benchmarks/rivals/pocketsphinx_runner.py`."""

    cmn: str
    pad: float
    loud: bool
    wip: float


def grammar(rule: str) -> str:
    """JSGF: one digit, or a string of them."""
    return f"#JSGF V1.0;\ngrammar digits;\npublic <digits> = {rule};\n<word> = {' | '.join(WORDS)};\n"


def hear(python: str, files: Sequence[Path], rule: str, settings: Settings, folder: Path) -> Heard:
    """The text of each file, and the seconds that it took."""
    rules = folder / "digits.gram"
    rules.write_text(grammar(rule))
    asked = {"grammar": str(rules), **settings._asdict(), "files": [str(path) for path in files]}
    runner = ROOT / "benchmarks/rivals/pocketsphinx_runner.py"
    done = subprocess.run([python, runner], input=json.dumps(asked), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pocketsphinx failed: {done.stderr[-2000:]}")
    return [(one["text"], one["seconds"]) for one in map(json.loads, done.stdout.splitlines())]


def write_single(recording: Recording, folder: Path) -> Path:
    """At 16 kHz."""
    samples_S, rate_hz = read_wav(recording.path)
    path = folder / recording.path.name
    path.write_bytes(wav_of(soxr.resample(samples_S, rate_hz, RATE_HZ), RATE_HZ))
    return path


def write_strings(strings: Sequence[Spoken], speaker: str, folder: Path) -> list[Path]:
    """At 16 kHz."""
    paths = [folder / f"{speaker}-{number}.wav" for number in range(len(strings))]
    for path, one in zip(paths, strings, strict=True):
        path.write_bytes(wav_of(decode_audio(one.wav, rate_hz=RATE_HZ), RATE_HZ))
    return paths


def best_settings(
    python: str, said: Sequence[str], files: Sequence[Path], rule: str, folder: Path
) -> tuple[Settings, dict[str, float]]:
    """Those with the least word error rate, and the rates of all."""
    tried: dict[Settings, float] = {}

    def best(some: Iterable[Settings]) -> Settings:
        for settings in some:
            heard = [text for text, _ in hear(python, files, rule, settings, folder)]
            tried[settings] = round(word_error_rate(said, heard), 4)
            print(settings, tried[settings], flush=True)
        return min(tried, key=lambda one: tried[one])

    chosen = best(Settings(*one, PENALTIES[0]) for one in product(MEANS, PADS, (False, True)))
    if rule == MANY:
        chosen = best(chosen._replace(wip=penalty) for penalty in PENALTIES[1:])
    return chosen, {shown(one): rate for one, rate in tried.items()}


def shown(settings: Settings) -> str:
    loud = "loud" if settings.loud else "as it is"
    return f"cmn {settings.cmn}, pad {settings.pad} s, {loud}, wip {settings.wip:g}"


class Rival:
    """pocketsphinx with the settings that suit it, for single recordings and for strings."""

    def __init__(self, python: str, recordings: Sequence[Recording], folder: Path) -> None:
        """Resample all, and try the settings."""
        self._python, self._folder = python, folder
        self._files = {one: write_single(one, folder) for one in recordings}
        speakers = sorted({one.speaker for one in recordings})
        own = {name: [one for one in recordings if one.speaker == name] for name in speakers}
        step = max(1, len(recordings) // len(speakers) // TRIED_RECORDINGS)
        some = [one for name in speakers for one in own[name][::step]]
        self.single, self.singles_tried = best_settings(
            python, [one.word for one in some], [self._files[one] for one in some], ONE, folder
        )
        strings = [one for name in speakers for one in join_strings(own[name], TRIED_STRINGS, f"tried {name}")]
        files = write_strings(strings, "tried", folder)
        self.many, self.strings_tried = best_settings(python, [one.text for one in strings], files, MANY, folder)

    def measure(self, held: Sequence[Recording], strings: Sequence[Spoken]) -> dict[str, Any]:
        """Figures of one speaker."""
        files = [self._files[one] for one in held]
        singles = hear(self._python, files, ONE, self.single, self._folder)
        paths = write_strings(strings, held[0].speaker, self._folder)
        heard = hear(self._python, paths, MANY, self.many, self._folder)
        seconds = sum(len(read_wav(path)[0]) / RATE_HZ for path in paths)
        of_singles = transcript_figures([one.word for one in held], [text for text, _ in singles])
        of_strings = transcript_figures([one.text for one in strings], [text for text, _ in heard])
        return {
            "recordings": len(held),
            "strings": len(strings),
            # What is not heard at all is wrong.
            "accuracy": round(of_singles["exact"], 4),
            "wer_single": round(of_singles["wer"], 4),
            "wer_strings": round(of_strings["wer"], 4),
            "strings_exact": round(of_strings["exact"], 4),
            "real_time_factor": round(sum(took for _, took in heard) / seconds, 4),
            "confusions": of_strings["confusions"],
        }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech pocketsphinx", description=__doc__)
    parser.add_argument("--recordings", type=Path, required=True, help="of <digit>_<speaker>_<index>.wav")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has pocketsphinx")
    parser.add_argument("--speakers", default="", help="names with commas between them; all by default")
    parser.add_argument("--strings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the strings; as in loso")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    recordings = read_digits(options.recordings)
    speakers = [name for name in options.speakers.split(",") if name]
    speakers = speakers or sorted({one.speaker for one in recordings})
    asked = [one for one in recordings if one.speaker in speakers]
    found = {}
    with tempfile.TemporaryDirectory() as name:
        rival = Rival(options.python, asked, Path(name))
        for speaker in speakers:
            held = [one for one in asked if one.speaker == speaker]
            strings = strings_of(held, options.strings, options.seed)
            found[speaker] = rival.measure(held, strings)
            print(speaker, found[speaker], flush=True)
    factors = [one["real_time_factor"] for one in found.values()]
    told = {**summary(found), "real_time_factor": round(sum(factors) / len(factors), 4)}
    command = f"pocketsphinx --recordings <recordings> --strings {options.strings} --seed {options.seed}"
    command += f" --speakers {options.speakers}" if options.speakers else ""
    settings = {
        "singles": shown(rival.single),
        "strings": shown(rival.many),
        "word_error_rates_tried": {"singles": rival.singles_tried, "strings": rival.strings_tried},
    }
    keep(
        "pocketsphinx",
        f"{command} --python <python>",
        {"summary": told, "settings": settings, "speakers": found},
        out=options.out,
        python=options.python,
        libraries=("numpy", "pocketsphinx"),
    )
