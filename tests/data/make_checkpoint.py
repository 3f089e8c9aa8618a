"""Make tests/data/old/ anew: a checkpoint of the current format, and what it says of some inputs.

Only for a new format, or before the first release: the point of the old files is that they stay as they are.

python -m tests.data.make_checkpoint
"""

import json
import shutil
from pathlib import Path

from models.checkpoint import read_checkpoint
from models.predictor import load_predictor
from tests.models.test_old_checkpoint import EXPECTED, INPUTS, OLD, answer
from tests.tiny import SAMPLES, Recorder
from training import run
from training.recipe import read_recipe

ITEMS: list[dict[str, str | None]] = [
    {"image": "cactus.png", "text": "cactus"},
    {"image": "t-shirt.png", "text": None},
    {"image": None, "text": "Chequered FLAG, black & white"},
]


def main() -> None:
    shutil.rmtree(OLD, ignore_errors=True)
    shutil.rmtree(INPUTS, ignore_errors=True)
    INPUTS.mkdir(parents=True)
    for item in ITEMS:
        if item["image"] is not None:
            shutil.copy(SAMPLES / "images" / item["image"], INPUTS)
    work = Path("/tmp/old-checkpoint")  # noqa: S108
    options = run.Options(SAMPLES / "emoji.csv", work / "out", work / "work")
    folder = run.train(read_recipe(Path(__file__).with_name("tiny.toml")), options, Recorder())
    shutil.move(folder, OLD)
    shutil.rmtree(work)
    predictor = load_predictor(read_checkpoint(OLD), engine="onnx")
    EXPECTED.write_text(json.dumps([{**item, **answer(predictor, item)} for item in ITEMS], indent=1) + "\n")


if __name__ == "__main__":
    main()
