"""Peak memory of training on a manifest and on ten times as many rows: `python -m benchmarks.training_memory`.

Every row has a picture of its own, so that caches grow tenfold too. Each size is trained in a process of its own,
for one epoch a stage. Resident memory counts the pages of mapped files too (libraries); anonymous memory is what a
process cannot do without. Neither must grow with the data.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
SIDE_PX = 64
RECIPE = f"""
name = "memory"
pretrained = "none"
[data.columns]
image = "image"
text = "name"
labels = ["kind"]
split = "split"
[preprocessing.image]
side_px = {SIDE_PX}
[preprocessing.text]
[network]
width = 32
[network.image]
backbone = "test_efficientnet"
hidden = 32
frozen_blocks = 1
colour_bins = 3
[network.text]
vocab_size = 200
embedding = 16
hidden = 16
[stages.image]
epochs = 1
[stages.fusion]
epochs = 1
[stages.joint]
epochs = 1
[gallery]
max_items = 100
"""


def write_pairs(folder: Path, count: int) -> None:
    """A manifest of `count` noisy pictures; nine in ten train."""
    lines = ["image,name,kind,split"]
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((SIDE_PX, SIDE_PX)).save(folder / f"{number}.jpg", quality=80)
        split = ("val", "test")[number // 20 % 2] if number % 20 == 0 else "train"
        lines.append(f"{number}.jpg,thing number {number} of kind {number % 3},{number % 3},{split}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    (folder / "recipe.toml").write_text(RECIPE)


def anonymous_bytes() -> int:
    """What this process holds apart from pages of files, as Linux tells it; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def train(folder: Path) -> None:
    """Train in this process, and print its peaks in MB."""
    from training.__main__ import main

    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    os.chdir(folder)
    status = main(["train", "recipe.toml", "--data", "pairs.csv"])
    over.set()
    watcher.join()
    if status:
        sys.exit(status)
    resident_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on macOS it is bytes
    cache = sum(path.stat().st_size for path in folder.glob("runs/cache/*/*"))
    print(json.dumps({"resident_mb": resident_kb // 1024, "anonymous_mb": peak >> 20, "cache_mb": cache >> 20}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--factor", type=int, default=10)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/training_memory.json")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # what a process of its own trains on
    options = parser.parse_args()
    if options.folder is not None:
        train(options.folder)
        return
    results = []
    for rows in (options.rows, options.rows * options.factor):
        with tempfile.TemporaryDirectory() as name:
            write_pairs(Path(name), rows)
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.training_memory", "--folder", name],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                cwd=ROOT,
            )
        results.append({"rows": rows, **json.loads(done.stdout.splitlines()[-1])})
        print(json.dumps(results[-1]), flush=True)
    found = {
        "command": f"python -m benchmarks.training_memory --rows {options.rows} --factor {options.factor}",
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}",
        "results": results,
    }
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
