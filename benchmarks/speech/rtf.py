"""Real-time factor on one core: the seconds that a string takes, whole and by part, by the seconds that it lasts.

Parts: decode (file to samples), features, network (features to frames), text (frames to words, greedily)."""

import argparse
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.serving.requests import ROOT
from benchmarks.speech.results import OUT, keep
from benchmarks.speech.strings import Recording, joined, read_digits, read_wav, wav_of
from models.checkpoint import read_checkpoint
from models.decode_audio import decode_audio
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from models.transcript import Decoding

PAUSE_SECONDS = 0.2


def recording_of(recordings: Sequence[Recording], seconds: float) -> bytes:
    """A WAV of just so many seconds: recordings of one speaker and pauses, cut at the end."""
    own = [one.path for one in recordings if one.speaker == recordings[0].speaker]
    chosen: list[Path] = []
    length = 0.0
    while length < seconds:
        chosen.append(own[len(chosen) * 37 % len(own)])
        samples_S, rate_hz = read_wav(chosen[-1])
        length += len(samples_S) / rate_hz + PAUSE_SECONDS
    samples_S, rate_hz = joined(chosen, [PAUSE_SECONDS] * (len(chosen) - 1), 0)
    lacking = max(0, round(seconds * rate_hz) - len(samples_S))
    return wav_of(np.pad(samples_S, (0, lacking))[: round(seconds * rate_hz)], rate_hz)


def parts_of(predictor: Predictor, data: bytes, decoding: Decoding) -> dict[str, Callable[[], Any]]:
    """By part, what does it again; `whole` is all of them in turn."""
    audio, transcriber = predictor.config.preprocessing.audio, predictor.transcriber
    if audio is None or transcriber is None:
        raise SystemExit(f"{predictor.config.name} does not transcribe: it has no network.transcript")

    def decode() -> Sample:
        return Sample(audio=decode_audio(data, rate_hz=audio.rate_hz))

    sample = decode()
    ready = transcriber.prepare(sample)
    batch = predictor.preprocessors.collate(ready.examples)
    return {
        "decode": decode,
        "cut and features": lambda: transcriber.prepare(sample),
        "network": lambda: predictor.engine.frames(batch),
        "network and text": lambda: transcriber.transcribe([ready], decoding),
        "whole": lambda: transcriber.transcribe([transcriber.prepare(decode())], decoding),
    }


def factors(
    predictor: Predictor, data: bytes, seconds: float, rounds: int, decoding: Decoding
) -> dict[str, float]:
    """Medians over rounds, in each of which every part runs once."""
    parts = parts_of(predictor, data, decoding)
    took: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(rounds + 1):
        for name, run in parts.items():
            start = perf_counter()
            run()
            if number:  # the first warms up
                took[name].append(perf_counter() - start)
    return {name: round(statistics.median(each) / seconds, 5) for name, each in took.items()}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech rtf", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints/digits/2")
    parser.add_argument("--recordings", type=Path, required=True, help="of <digit>_<speaker>_<index>.wav")
    parser.add_argument("--seconds", default="2,10,30")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--num-beams", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    predictor = load_predictor(read_checkpoint(options.checkpoint), engine="onnx", num_threads=1)
    recordings = read_digits(options.recordings)
    found: dict[str, Any] = {"num_beams": options.num_beams, "rounds": options.rounds}
    for seconds in map(float, options.seconds.split(",")):
        data = recording_of(recordings, seconds)
        decoding = Decoding(num_beams=options.num_beams)
        found[f"{seconds:g} s"] = factors(predictor, data, seconds, options.rounds, decoding)
    command = f"rtf --checkpoint <checkpoint> --recordings <recordings> --seconds {options.seconds}"
    command += f" --rounds {options.rounds} --num-beams {options.num_beams}"
    name = "real_time_factor" + (f"_{options.num_beams}_beams" if options.num_beams > 1 else "")
    keep(name, command, {**found, "model": f"{predictor.config.name} {predictor.config.version}"}, out=options.out)
