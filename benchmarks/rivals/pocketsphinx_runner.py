"""pocketsphinx 5 with a grammar, in an interpreter of its own: a question as JSON on stdin, an answer a line on stdout.

In: grammar (a JSGF file), cmn (live or batch), pad (seconds of silence around each file), wip (the penalty of a word),
files (WAV, 16 bits, one channel, 16 kHz). Out: text and seconds of each. As the package's own examples have it
(pocketsphinx.readthedocs.io): Decoder, start_utt, process_raw, end_utt, hyp."""

import json
import sys
import wave
from time import perf_counter

import numpy as np
from pocketsphinx import Decoder


def main() -> None:
    """Answer for each file, in order; the speech of nothing is the empty text."""
    asked = json.load(sys.stdin)
    whole = asked["cmn"] == "batch"
    decoder = Decoder(jsgf=asked["grammar"], cmn=asked["cmn"], wip=asked["wip"], samprate=16_000, loglevel="FATAL")
    random = np.random.default_rng(0)
    for path in asked["files"]:
        with wave.open(path) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            around = round(asked["pad"] * file.getframerate())
        # One step of noise: true zeros have no logarithm.
        pads = random.integers(-1, 2, (2, around)).astype("<i2")
        data = np.concatenate([pads[0], samples, pads[1]]).tobytes()
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
