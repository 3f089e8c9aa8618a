"""Ludwig on the rows of `benchmarks.training_time`, set up as its documentation does it for several labels.

In an environment of its own (`pip install ludwig==0.11.0 torch==2.14.1 torchvision==0.29.1`), from the root:

    python -m benchmarks.training_time --data products.csv --write-subset FOLDER     # by this project's Python
    python benchmarks/rivals/ludwig_training.py FOLDER --minutes 10                  # by Ludwig's

A line of JSON for each epoch: seconds since the start, reading and preparing the data included, and the mean
accuracy over the heads on the validation rows. Its pretrained image encoders come from a hub; where there is none,
the image encoder begins from random weights (`stacked_cnn`, its default)."""

import argparse
import json
import logging
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
from ludwig.api import LudwigModel
from ludwig.callbacks import Callback

HEADS = ("articleType", "baseColour", "gender", "season", "usage")


def config(side_px: int) -> dict[str, Any]:
    """As https://ludwig.ai/latest/configuration/ describes each part; batch and rate are its defaults."""
    text = {"type": "rnn", "cell_type": "gru", "bidirectional": True}
    image = {"num_processes": 2, "height": side_px, "width": side_px, "num_channels": 3, "in_memory": True}
    return {
        "input_features": [
            {"name": "image", "type": "image", "encoder": {"type": "stacked_cnn"}, "preprocessing": image},
            {"name": "title", "type": "text", "encoder": text},
        ],
        "combiner": {"type": "concat", "num_fc_layers": 1, "output_size": 256},
        "output_features": [{"name": head, "type": "category"} for head in HEADS],
        "preprocessing": {"split": {"type": "fixed", "column": "split_number"}},
        "trainer": {"epochs": 1000, "early_stop": -1},
    }


class Teller(Callback):
    """Prints the mean validation accuracy after each evaluation."""

    def __init__(self, start: float) -> None:
        self._start = start

    def on_eval_end(self, trainer: Any, progress_tracker: Any, save_path: str) -> None:  # noqa: ARG002
        """Called by Ludwig after each epoch."""
        metrics = progress_tracker.validation_metrics
        last = [metrics[head]["accuracy"][-1] for head in HEADS]
        values = [float(getattr(value, "value", value)) for value in last]
        seconds = perf_counter() - self._start
        accuracy = sum(values) / len(values)
        print(json.dumps({"seconds": round(seconds, 1), "accuracy": round(accuracy, 4)}), flush=True)


def main() -> None:
    """Train until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side-px", type=int, default=112)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    rows = pd.read_csv(options.folder / "pairs.csv", keep_default_na=False)
    rows["split_number"] = rows["split"].map({"train": 0, "val": 1, "test": 2})
    rows["image"] = [str((options.folder / name).resolve()) for name in rows["image"]]
    out = tempfile.mkdtemp()
    start = perf_counter()
    timer = threading.Timer(60 * options.minutes, lambda: os.kill(os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    model = LudwigModel(
        config(options.side_px), logging_level=logging.ERROR, backend="local", callbacks=[Teller(start)]
    )
    model.train(dataset=rows[["image", "title", "split_number", *HEADS]], output_directory=out)
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
