"""The same work without HTTP: what every answer is compared with, and the ceiling of what a server can do.

One item goes through the same decode, prepare, graphs, calibration and search as in the service."""

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy comes in, as app.__main__ does

from benchmarks.serving.answers import MATCHES, expectation
from benchmarks.serving.requests import Pair
from models.checkpoint import Checkpoint, read_checkpoint
from models.decode import decode_image
from models.predictor import Prediction, Predictor, load_predictor
from models.sample import Sample
from retrieval.gallery import Match, Query
from retrieval.seed_gallery import SeedGallery, read_seed

NEAR = 40  # items whose cosines are kept, so that ties at the fifth place are told from faults


@dataclass(frozen=True, slots=True)
class Settings:
    """How the ceiling uses the cores: threads that take items, threads inside an operator, items a forward."""

    workers: int
    num_threads: int
    batch_items: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Items a second, and milliseconds of this process's CPU an item."""

    per_second: float
    cpu_ms: float


class Model:
    """A checkpoint in memory, with its gallery, on engines of several thread counts."""

    def __init__(self, folder: Path) -> None:
        self._checkpoint: Checkpoint = read_checkpoint(folder)
        self._predictors: dict[int, Predictor] = {}
        if self._checkpoint.gallery_path is None or self._checkpoint.config.preprocessing.image is None:
            raise ValueError(f"{folder}: a model with images and a gallery is needed")
        self._side_px = self._checkpoint.config.preprocessing.image.side_px
        self._gallery: SeedGallery = read_seed(self._checkpoint.gallery_path)

    def predictor(self, num_threads: int = 1) -> Predictor:
        """An engine of so many threads inside an operator."""
        if num_threads not in self._predictors:
            self._predictors[num_threads] = load_predictor(
                self._checkpoint, engine="onnx", num_threads=num_threads
            )
        return self._predictors[num_threads]

    def answer(
        self, predictor: Predictor, pairs: Sequence[Pair], top_k: int = MATCHES
    ) -> list[tuple[Prediction, Sequence[Match]]]:
        """What the service does for these items, without HTTP, in one forward pass."""
        samples = [Sample(image=decode_image(pair.image, side_px=self._side_px), text=pair.text) for pair in pairs]
        predictions = predictor.predict([predictor.prepare(sample) for sample in samples])
        return [
            (prediction, self._gallery.search(prediction.embedding_E, Query(target="fused", top_k=top_k)))
            for prediction in predictions
        ]

    def expected(self, pair: Pair) -> dict[str, Any]:
        """What `answers.fault` compares an answer with."""
        [(prediction, matches)] = self.answer(self.predictor(), [pair], NEAR)
        heads = self._checkpoint.config.network.classes
        scores = {
            head: dict(zip(heads[head].labels, found.tolist(), strict=True))
            for head, found in prediction.scores.items()
        }
        return expectation(scores, {match.item.id: match.score for match in matches})

    def measure(self, pairs: Sequence[Pair], seconds: float, settings: Settings) -> Measured:
        """The ceiling: every worker takes items as fast as it can."""
        predictor = self.predictor(settings.num_threads)
        counts = [0] * settings.workers
        cpu, start = time.process_time(), time.perf_counter()

        def work(worker: int) -> None:
            index = worker
            while time.perf_counter() - start < seconds:
                batch = [pairs[(index + step) % len(pairs)] for step in range(settings.batch_items)]
                self.answer(predictor, batch)
                counts[worker] += len(batch)
                index += settings.workers * settings.batch_items

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(settings.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = time.perf_counter() - start
        return Measured(sum(counts) / taken, 1000 * (time.process_time() - cpu) / sum(counts))

    def best_settings(self, pairs: Sequence[Pair], seconds: float) -> tuple[Settings, dict[str, float]]:
        """The settings with the most items a second, of those that use each core once; and what each gave."""
        cores = len(os.sched_getaffinity(0))
        splits = {(cores, 1), (1, cores)}
        candidates = [Settings(*split, items) for split in sorted(splits) for items in (1, 2, 4)]
        found: dict[Settings, list[float]] = {settings: [] for settings in candidates}
        for _ in range(2):  # twice in turn: a neighbour's burst must not choose
            for settings in candidates:
                found[settings].append(self.measure(pairs, seconds, settings).per_second)
        best = max(candidates, key=lambda settings: max(found[settings]))
        names = {
            f"{one.workers} x {one.num_threads} threads, {one.batch_items} a forward": round(max(rates), 1)
            for one, rates in found.items()
        }
        return best, names
