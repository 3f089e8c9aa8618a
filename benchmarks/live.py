"""Live streams against a running service, in real time.

    python -m benchmarks.live --url ws://127.0.0.1:8000 --recordings FOLDER --streams 20

Strings of recordings with pauses are played 50 ms at a time into several streams at once. Latency is from the end
of a word, as it was played, to the first result that reaches it. What was said is aligned with what was heard, or
every word behind a missed one would count as late by a word; missed words are counted apart. A recording's name
begins with what it says: `<digit>_<speaker>_<index>.wav`, or `<word>_…`."""

import argparse
import asyncio
import json
import random
import time
import wave
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from websockets.asyncio.client import connect

CHUNK_SECONDS = 0.05
PAUSE_SECONDS = (0.1, 0.5)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


Stream = tuple[np.ndarray[Any, Any], int, list[float], list[str]]


def read(path: Path) -> tuple[np.ndarray[Any, np.dtype[np.int16]], int]:
    """Samples and rate of a WAV of 16 bits."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def make_stream(
    paths: list[Path], seconds: float, rng: random.Random
) -> tuple[np.ndarray[Any, Any], int, list[float], list[str]]:
    """Joined samples of about so many seconds, their rate, where each word ends, and the words."""
    speaker = rng.choice(paths).stem.split("_")[1]
    own = [path for path in paths if path.stem.split("_")[1] == speaker]
    parts, ends, said, length, rate = [], [], [], 0, 8000
    while length < seconds * rate:
        path = rng.choice(own)
        samples, rate = read(path)
        # White noise of some -60 dB: a microphone is never silent.
        pause = (
            np.random.default_rng(length).normal(0, 30, int(rng.uniform(*PAUSE_SECONDS) * rate)).astype(np.int16)
        )
        parts += [pause, samples]
        length += len(pause) + len(samples)
        ends.append(length / rate)
        name = path.stem.split("_")[0]
        said.append(_WORDS[int(name)] if name.isdecimal() else name)
    return np.concatenate(parts), rate, ends, said


async def play(url: str, stream: Stream, delay: float) -> dict[str, Any]:
    """Play one stream; seconds from each heard word's end to the first result that reaches it."""
    samples, rate, ends, said = stream
    heard: list[tuple[float, int]] = []
    final: list[str] = []
    await asyncio.sleep(delay)
    async with connect(f"{url}/transcribe/stream?rate_hz={rate}", max_size=None) as socket:
        start = time.perf_counter()

        async def listen() -> str:
            async for message in socket:
                result = json.loads(message)
                if result["type"] == "done":
                    return str(result["text"])
                if result["type"] == "error":
                    raise RuntimeError(result["detail"])
                words = len(result["text"].split())
                heard.append((time.perf_counter() - start, len(final) + words))
                if result["type"] == "final":
                    final.extend(result["text"].split())
            return ""

        listening = asyncio.create_task(listen())
        step = int(CHUNK_SECONDS * rate)
        for place in range(0, len(samples), step):
            await asyncio.sleep(max(0.0, start + (place + step) / rate - time.perf_counter()))
            await socket.send(samples[place : place + step].tobytes())
        await socket.send('{"type": "end"}')
        ended = time.perf_counter()
        text = await listening
    latencies = []
    for place, number in aligned(said, text.split()).items():
        first = next((when for when, count in heard if count > number), None)
        if first is not None:
            latencies.append(first - ends[place])
    return {
        "latencies": latencies,
        "missed": len(said) - len(latencies),
        "done_seconds": time.perf_counter() - ended,
        "said": " ".join(said),
        "heard": text,
    }


def aligned(said: list[str], heard: list[str]) -> dict[int, int]:
    """Places of words that were said → places of the words that were heard for them, right or wrong."""
    if not heard:
        return {}
    [chunks] = jiwer.process_words(" ".join(said), " ".join(heard)).alignments
    return {
        chunk.ref_start_idx + step: chunk.hyp_start_idx + step
        for chunk in chunks
        if chunk.type in ("equal", "substitute")
        for step in range(chunk.ref_end_idx - chunk.ref_start_idx)
    }


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """All streams at once."""
    rng = random.Random(options.seed)
    paths = sorted(options.recordings.rglob("*.wav"))
    streams = [make_stream(paths, options.seconds, rng) for _ in range(options.streams)]
    found = await asyncio.gather(*(play(options.url, stream, rng.uniform(0, 1)) for stream in streams))
    each = sorted(value for one in found for value in one["latencies"])
    halves = [np.array_split(one["latencies"], 2) for one in found if len(one["latencies"]) > 1]
    growth = [round(1000 * float(np.median(np.concatenate([pair[half] for pair in halves])))) for half in (0, 1)]
    num_words = sum(len(one["said"].split()) for one in found)
    return {
        "streams": options.streams,
        "seconds": options.seconds,
        "words": num_words,
        "missed": sum(one["missed"] for one in found),
        "latency_ms": {
            "p50": round(1000 * each[len(each) // 2]),
            "p95": round(1000 * each[int(len(each) * 0.95)]),
            "p99": round(1000 * each[int(len(each) * 0.99)]),
        },
        "median_ms_first_and_second_half": growth,
        "done_ms_after_the_end": round(1000 * max(one["done_seconds"] for one in found)),
        "example": {"said": found[0]["said"], "heard": found[0]["heard"]},
    }


def main() -> None:
    """Print what was measured, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8000")
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
