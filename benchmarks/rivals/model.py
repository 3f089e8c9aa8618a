"""The trained model, in the two forms that a rival serves; RIVAL_FORM says which.

torch: as its owner would write it. The network in torch, eager; Pillow; a matrix product for the search.
graphs: what this project has to give away. Its decoder, its ONNX graphs and its gallery.

Both answer alike: labels with scores by head, and the five nearest items."""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from safetensors.numpy import load as load_safetensors

from models.batch import Example
from models.calibration import subset_name
from models.checkpoint import GRAPH_TENSORS, Checkpoint, read_checkpoint
from models.decode import decode_image
from models.preprocess import Preprocessors
from models.sample import Sample

NUM_LABELS = 5
TOP_K = 5
Answer = dict[str, Any]


class Model(Protocol):
    """What a rival needs of a model. Both calls may be made from several threads."""

    def prepare(self, image: bytes, text: str) -> Example:
        """A request's contents to arrays."""

    def predict(self, examples: Sequence[Example]) -> list[Answer]:
        """Answers, in order, from one forward pass."""


def load_model() -> Model:
    """The model in the form asked for, with RIVAL_THREADS inside an operator (0: the library's own number)."""
    checkpoint, threads = _checkpoint(), int(os.environ.get("RIVAL_THREADS", "0"))
    return GraphModel(checkpoint, threads or 1) if _graphs() else TorchModel(checkpoint, threads)


class Preparation:
    """Decodes and prepares; light, for a process that only does this."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        image = checkpoint.config.preprocessing.image
        if image is None:
            raise ValueError("a model with images is needed")
        self._side_px = image.side_px
        self._ours = _graphs()
        self.preprocessors = Preprocessors(checkpoint.config.preprocessing, checkpoint.tokenizer)

    def prepare(self, image: bytes, text: str) -> Example:
        """See `Model.prepare`."""
        pixels = (
            decode_image(image, side_px=self._side_px)
            if self._ours
            else np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
        )
        return self.preprocessors.prepare(Sample(image=pixels, text=text))


def load_preparation() -> Preparation:
    """The preparation alone, in the form asked for."""
    return Preparation(_checkpoint())


def _checkpoint() -> Checkpoint:
    return read_checkpoint(Path(os.environ["RIVAL_CHECKPOINT"]))


def _graphs() -> bool:
    return os.environ["RIVAL_FORM"] == "graphs"


class TorchModel(Preparation):
    """The network as torch runs it, from the weights that training wrote."""

    def __init__(self, checkpoint: Checkpoint, num_threads: int) -> None:
        import torch

        from models.nets.network import Network

        super().__init__(checkpoint)
        if num_threads:
            torch.set_num_threads(num_threads)
        self._config = checkpoint.config
        self._network = Network(checkpoint.config.network)
        self._network.load_state_dict(
            {
                name: torch.from_numpy(np.array(value))
                for name, value in checkpoint.weights.items()
                if not name.startswith(GRAPH_TENSORS)
            }
        )
        self._network.eval()
        gallery = checkpoint.path / "gallery"
        vectors = load_safetensors((gallery / "vectors.safetensors").read_bytes())
        self._vectors_NE = vectors["fused"].astype(np.float32)
        self._vectors_NE /= np.linalg.norm(self._vectors_NE, axis=1, keepdims=True)
        lines = (gallery / "items.jsonl").read_text().splitlines()
        self._items = [json.loads(lines[row]) for row in vectors["fused.rows"]]

    def predict(self, examples: Sequence[Example]) -> list[Answer]:
        import torch

        batch = self.preprocessors.collate(examples)
        with torch.inference_mode():
            encoded = {
                name: self._network.encode(name, {key: torch.from_numpy(part) for key, part in inputs.items()})
                for name, inputs in batch.inputs.items()
            }
            present_BM = torch.from_numpy(batch.present_BM)
            outputs = self._network.fuse(self._network.gather(encoded, present_BM), present_BM)
        logits = {head: found.numpy() for head, found in outputs.logits.items()}
        embedding_BE = outputs.embedding_BE.numpy()
        return [
            {
                "classes": {
                    head: self._best_labels(head, batch.modalities, found[row]) for head, found in logits.items()
                },
                "matches": self._nearest(embedding_BE[row]),
            }
            for row in range(len(examples))
        ]

    def _best_labels(self, head: str, modalities: Sequence[str], logits_C: Any) -> list[Answer]:
        scores_C = self._config.calibration.probabilities(head, subset_name(modalities), logits_C)
        return best_labels(self._config.network.classes[head].labels, scores_C)

    def _nearest(self, query_E: Any) -> list[Answer]:
        cosines_N = self._vectors_NE @ query_E
        best = np.argpartition(-cosines_N, TOP_K)[:TOP_K]
        return [self._items[row] | {"score": float(cosines_N[row])} for row in best[np.argsort(-cosines_N[best])]]


class GraphModel(Preparation):
    """This project's predictor on ONNX Runtime, and its gallery."""

    def __init__(self, checkpoint: Checkpoint, num_threads: int) -> None:
        from models.predictor import load_predictor
        from retrieval.gallery import Query
        from retrieval.seed_gallery import read_seed

        super().__init__(checkpoint)
        self._predictor = load_predictor(checkpoint, engine="onnx", num_threads=num_threads)
        self._gallery = read_seed(checkpoint.path / "gallery")
        self._query = Query(top_k=TOP_K)

    def predict(self, examples: Sequence[Example]) -> list[Answer]:
        heads = self._predictor.config.network.classes
        answers = []
        for prediction in self._predictor.predict(examples):
            matches = self._gallery.search(prediction.embedding_E, self._query)
            answers.append(
                {
                    "classes": {
                        head: best_labels(heads[head].labels, scores) for head, scores in prediction.scores.items()
                    },
                    "matches": [
                        {
                            "id": match.item.id,
                            "score": match.score,
                            "text": match.item.text,
                            "labels": dict(match.item.labels),
                        }
                        for match in matches
                    ],
                }
            )
        return answers


def best_labels(labels: Sequence[str], scores_C: Any) -> list[Answer]:
    """The most probable labels, best first."""
    order = np.argsort(-scores_C)[:NUM_LABELS]
    return [{"label": labels[number], "score": float(scores_C[number])} for number in order]
