import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.payload import ImageLimits
from models.decode import decode_image
from models.errors import ManifestError
from models.manifest import Columns
from models.preprocess import Preprocessors
from models.preprocess.text import pad_ids
from models.sample import Sample
from training.data import check_images, label_numbers, label_vocabularies, load_pairs, prepare_pixels, prepare_texts
from training.evaluate import prepare
from tests.tiny import SAMPLES, image_file, picture, tiny_recipe, tiny_tokenizer, write_pairs
from models.predictor import load_predictor
from tests.tiny import tiny_checkpoint

COLUMNS = Columns(image="image", text="name", labels=("shape", "colour"), split="split")
RECIPE = tiny_recipe()


def load(path: Path, columns: Columns = COLUMNS):  # noqa: ANN201
    return load_pairs(path, columns, seed=0, val=0.2, test=0.2)
