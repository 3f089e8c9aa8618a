"""pocketsphinx 5 with a grammar, in an interpreter of its own: a question as JSON on stdin, answers on stdout.

In: grammar (a JSGF file), cmn (live or batch), pad (seconds of silence around each file), loud (whether each is
brought to a peak of 0.7, with noise 47 dB below that), wip (the penalty of a word), files (WAV, 16 bits, one
channel, 16 kHz). Out: a line with text and seconds for each. As the package's own examples have it
(pocketsphinx.readthedocs.io): Decoder, start_utt, process_raw, end_utt, hyp."""

import json
import sys
import wave
from time import perf_counter

import numpy as np
from pocketsphinx import Decoder

PEAK = 0.7 * 32768
LOUD_NOISE = 0.003 * 32768


def main() -> None:
    """Answer for each file, in order; the speech of nothing is the empty text."""
    asked = json.load(sys.stdin)
    whole = asked["cmn"] == "batch"
    decoder = Decoder(jsgf=asked["grammar"], cmn=asked["cmn"], wip=asked["wip"], samprate=16_000, loglevel="FATAL")
    random = np.random.default_rng(0)
    for path in asked["files"]:
        with wave.open(path) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
            around = round(asked["pad"] * file.getframerate())
        samples = np.pad(samples, (around, around))
        if asked["loud"]:
            samples = samples * (PEAK / max(1.0, float(np.abs(samples).max())))
        # At least a step of noise: true zeros have no logarithm.
        noise = random.normal(0, LOUD_NOISE if asked["loud"] else 0.5, len(samples))
        data = np.clip(samples + noise, -32768, 32767).astype("<i2").tobytes()
        start = perf_counter()
        decoder.start_utt()
        # A whole utterance at once has its own mean taken off, whatever cmn says.
        decoder.process_raw(data, no_search=False, full_utt=whole)
        decoder.end_utt()
        found = decoder.hyp()
        seconds = perf_counter() - start
        text = "" if found is None else found.hypstr
        print(json.dumps({"text": text, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
