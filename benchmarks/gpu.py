"""The torch engine on a card, in one run: `python -m benchmarks.gpu --out benchmarks/results/gpu.json`.

Parity with ONNX Runtime in fp32; items a second and memory by batch size, as it is and compiled (rounds
alternate); items a second by worker threads. On a machine without a card everything runs on the CPU, which tests
the script and says nothing of a card: give it `--batch-sizes 1 2 --items 8 --seconds 0.1`.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import numpy as np
import onnxruntime
import torch

from models.batch import Batch, Example
from models.checkpoint import Checkpoint, read_checkpoint
from models.decode import decode_image
from models.errors import EngineMemoryError
from models.nets.precision import Precision
from models.nets.torch_engine import TorchEngine
from models.predictor import Prediction, Predictor, load_predictor
from models.sample import Sample

ROOT = Path(__file__).parent.parent
MAX_SCORE_DIFFERENCE = 0.02
MIN_SAME_TOP1 = 0.995
MIN_COSINE = 0.999
PARITY_BATCH = 32


def load_samples(checkpoint: Checkpoint, folder: Path | None, count: int) -> list[Sample]:
    """Pairs, images alone and texts alone in turn: files of `folder`, or else the gallery's thumbnails."""
    image = checkpoint.config.preprocessing.image
    side_px = image.side_px if image is not None else 0
    if folder is not None:
        paths = sorted(path for path in folder.iterdir() if path.suffix in {".jpg", ".jpeg", ".png", ".webp"})
        files = [path.read_bytes() for path in paths[:count]]
        texts = [path.stem.replace("-", " ") for path in paths[:count]]
    else:
        gallery = checkpoint.path / "gallery"
        with zipfile.ZipFile(gallery / "thumbnails.zip") as archive:
            files = [archive.read(name) for name in archive.namelist()[:count]]
        lines = (gallery / "items.jsonl").read_text().splitlines()
        texts = [json.loads(line).get("text") or "a" for line in lines[: len(files)]]
    known = checkpoint.config.network.modalities
    samples = []
    for number, (data, text) in enumerate(zip(files, texts, strict=True)):
        has_image, has_text = "image" in known, "text" in known
        if has_image and has_text:
            has_image, has_text = number % 3 != 2, number % 3 != 1
        pixels = decode_image(data, side_px=side_px) if has_image else None
        samples.append(Sample(image=pixels, text=text if has_text else None))
    return samples


def parity(found: Sequence[Prediction], expected: Sequence[Prediction]) -> dict[str, Any]:
    """The three figures of half precision, and whether they keep its promise."""
    difference, same, cosine = 0.0, [], 1.0
    for one, other in zip(found, expected, strict=True):
        cosine = min(cosine, float(one.embedding_E @ other.embedding_E))
        for head, scores in one.scores.items():
            difference = max(difference, float(np.abs(scores - other.scores[head]).max()))
            same.append(scores.argmax() == other.scores[head].argmax())
    top1 = float(np.mean(same)) if same else 1.0
    return {
        "items": len(found),
        "max_score_difference": round(difference, 5),
        "same_top1": round(top1, 5),
        "min_cosine": round(cosine, 6),
        "kept": difference <= MAX_SCORE_DIFFERENCE and top1 >= MIN_SAME_TOP1 and cosine >= MIN_COSINE,
    }


def predict_all(predictor: Predictor, examples: Sequence[Example]) -> list[Prediction]:
    parts = [examples[start : start + PARITY_BATCH] for start in range(0, len(examples), PARITY_BATCH)]
    return [prediction for part in parts for prediction in predictor.predict(part)]


def forward(predictor: Predictor, batch: Batch) -> None:
    predictor.engine.fuse(predictor.engine.encode(batch), batch.present_BM)


def rate(predictor: Predictor, batch: Batch, seconds: float, threads: int = 1) -> float:
    """Items a second, from arrays on the host to arrays on the host, by so many threads."""
    counts = [0] * threads
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            while perf_counter() < stop:
                forward(predictor, batch)
                counts[number] += len(batch)
        except Exception as error:  # told below, in the thread that asked
            failures.append(error)

    start = perf_counter()
    stop = start + seconds
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return sum(counts) / (perf_counter() - start)


def peak_mb(predictor: Predictor, batch: Batch) -> float | None:
    """The most that torch held on the card in one pass, with the weights of all engines; None without a card."""
    has_card = torch.cuda.is_available()
    if has_card:
        torch.cuda.reset_peak_memory_stats()
    forward(predictor, batch)
    if not has_card:
        return None
    return round(torch.cuda.max_memory_allocated() / 2**20, 1)


def by_batch_size(
    predictors: dict[str, Predictor], examples: Sequence[Example], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """A line for each size, up to the first that finds no memory."""
    lines = []
    for size in options.batch_sizes:
        part = [examples[number % len(examples)] for number in range(size)]
        batch = next(iter(predictors.values())).preprocessors.collate(part)
        line: dict[str, Any] = {"batch": size}
        try:
            for name, predictor in predictors.items():
                line[f"{name}_peak_mb"] = peak_mb(predictor, batch)
                rate(predictor, batch, options.seconds / 2)
            rounds = [
                {name: rate(predictor, batch, options.seconds) for name, predictor in predictors.items()}
                for _ in range(options.rounds)
            ]
        except EngineMemoryError as error:
            lines.append({**line, "failed": str(error)[:200]})
            break
        for name in predictors:
            line[f"{name}_items_per_s"] = round(statistics.median(one[name] for one in rounds), 1)
        if "compiled" in predictors:
            line["compiled_by_eager"] = round(
                statistics.median(one["compiled"] / one["eager"] for one in rounds), 3
            )
        lines.append(line)
        print(json.dumps(line), flush=True)
    return lines


def by_threads(
    predictor: Predictor, examples: Sequence[Example], options: argparse.Namespace
) -> list[dict[str, Any]]:
    batch = predictor.preprocessors.collate(
        [examples[number % len(examples)] for number in range(options.batch_of_threads)]
    )
    lines = []
    for threads in options.threads:
        rate(predictor, batch, options.seconds / 2, threads)
        rates = [rate(predictor, batch, options.seconds, threads) for _ in range(options.rounds)]
        lines.append({"threads": threads, "batch": len(batch), "items_per_s": round(statistics.median(rates), 1)})
        print(json.dumps(lines[-1]), flush=True)
    return lines


def measure(options: argparse.Namespace) -> dict[str, Any]:
    checkpoint = read_checkpoint(options.checkpoint)
    onnx = load_predictor(checkpoint, engine="onnx", num_threads=os.cpu_count() or 1)
    examples = [onnx.prepare(sample) for sample in load_samples(checkpoint, options.images, options.items)]

    start = perf_counter()
    eager = Predictor(checkpoint.config, onnx.preprocessors, TorchEngine(checkpoint, precision=options.precision))
    eager.predict(examples[:1])
    ready_seconds = perf_counter() - start
    expected = predict_all(onnx, examples)
    found = {"eager": parity(predict_all(eager, examples), expected)}
    print(json.dumps(found["eager"]), flush=True)

    predictors, compilation = {"eager": eager}, None
    if options.compiled:
        start = perf_counter()
        engine = TorchEngine(checkpoint, precision=options.precision, compiled=True)
        sizes = engine.wait_until_compiled()
        compilation = {"seconds": round(perf_counter() - start, 1), "sizes": sizes}
        predictors["compiled"] = Predictor(checkpoint.config, onnx.preprocessors, engine)
        found["compiled"] = parity(predict_all(predictors["compiled"], examples), expected)
        print(json.dumps([compilation, found["compiled"]]), flush=True)

    pairs = [example for example in examples if len(example.modalities) == len(onnx.modalities)]
    return {
        "parity": found,
        "ready_seconds": round(ready_seconds, 2),
        "compilation": compilation,
        "batch_sizes": by_batch_size(predictors, pairs, options),
        "threads": by_threads(predictors[next(reversed(predictors))], pairs, options),
    }


def hardware() -> dict[str, Any]:
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "card": None,
    }
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found |= {"card": card.name, "card_mb": card.total_memory // 2**20, "cuda": torch.version.cuda}
    return found


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints/fashion/2")
    parser.add_argument("--images", type=Path, help="a folder; its files' names are the texts")
    parser.add_argument("--items", type=int, default=1000, help="for parity")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    parser.add_argument("--compiled", action="store_true", help="compare with torch.compile, which takes minutes")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[2**power for power in range(10)])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--batch-of-threads", type=int, default=32, help="batch size of each thread")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="a JSON file; by default nothing is written")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """0 where the promise of half precision is kept, else 1."""
    options = parse(arguments)
    # Else cuDNN computes the convolutions of --precision float32 in TF32.
    torch.backends.cudnn.allow_tf32 = False
    found = {
        "command": "python -m benchmarks.gpu " + " ".join(arguments),
        "hardware": hardware(),
        "precision": options.precision,
        **measure(options),
    }
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(part["kept"] for part in found["parity"].values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
