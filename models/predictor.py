"""A model ready to answer: prepare, collate, forward, calibrate. Knows no HTTP and no gallery."""

import importlib
import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Example, OutOfRange
from models.calibration import subset_name
from models.captioner import Captioner
from models.checkpoint import LANGUAGE_MODEL, Checkpoint, CheckpointConfig
from models.engine import Encoded, Engine, Output
from models.errors import EngineError, InputError
from models.familiarity import Doubles
from models.onnx_engine import OnnxEngine
from models.preprocess import Preprocessors
from models.sample import Sample
from models.transcriber import Transcriber
from models.trust import Doubt, find_doubts

Floats = NDArray[np.float32]
EngineName = Literal["auto", "onnx", "torch"]


@dataclass(frozen=True, slots=True)
class Value:
    """A number that a head gives, in the unit of its training data; `std` where it predicts its uncertainty."""

    value: float
    std: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What one item was found to be.

    scores: head → calibrated probabilities (C,) float32, in the order of the head's labels.
    embedding_E: float32, unit norm, of everything that was given.
    values: head → its number, for the heads that give one.
    out_of_range: by channel of the sensors, a reading far from all that the model was trained on.
    distances: by modality that has a cloud, how far its input is from what the model was trained on.
    """

    modalities_used: tuple[str, ...]
    scores: Mapping[str, Floats]
    embedding_E: Floats
    values: Mapping[str, Value] = field(default_factory=dict)
    out_of_range: Mapping[str, OutOfRange] = field(default_factory=dict)
    distances: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForwardTimes:
    """Seconds that one forward pass spent in each stage.

    On a card, encoding is queued and not waited for: most of its time shows under `fuse`, which is.
    """

    encode: float
    fuse: float


class Predictor:
    """Everything between a decoded sample and its prediction, for one checkpoint. Safe to share by threads."""

    def __init__(
        self,
        config: CheckpointConfig,
        preprocessors: Preprocessors,
        engine: Engine,
        language_model: bytes | None = None,
    ) -> None:
        self.config = config
        self.engine = engine
        self.preprocessors = preprocessors
        self.transcriber: Transcriber | None = None
        if config.network.transcript is not None:
            self.transcriber = Transcriber(config, preprocessors, engine, language_model)
        self.captioner: Captioner | None = None
        if config.network.caption is not None:
            self.captioner = Captioner(config, preprocessors, engine)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the model knows."""
        return self.config.network.modalities

    def prepare(self, sample: Sample) -> Example:
        """See `Preprocessors.prepare`."""
        return self.preprocessors.prepare(sample)

    def predict(self, examples: Sequence[Example]) -> list[Prediction]:
        """Predict several items in one pass, in order."""
        return self.predict_timed(examples)[0]

    def predict_timed(self, examples: Sequence[Example]) -> tuple[list[Prediction], ForwardTimes]:
        """`predict`, with the seconds that its stages took."""
        predictions, times, _ = self.predict_encoded(examples)
        return predictions, times

    def predict_encoded(self, examples: Sequence[Example]) -> tuple[list[Prediction], ForwardTimes, Encoded]:
        """`predict_timed`, and what the encoders gave, for `Captioner.caption` to go on from."""
        start = perf_counter()
        batch = self.preprocessors.collate(examples)
        encoded = self.engine.encode(batch)
        between = perf_counter()
        predictions = self.read(self.engine.fuse(encoded, batch.present_BM), batch.present_BM)
        predictions = self.with_inputs(predictions, examples, batch, encoded)
        return predictions, ForwardTimes(between - start, perf_counter() - between), encoded

    def with_inputs(
        self, predictions: Sequence[Prediction], examples: Sequence[Example], batch: Batch, encoded: Encoded
    ) -> list[Prediction]:
        """The predictions of a pass, with what is to be said of the inputs themselves."""
        found = list(predictions)
        for row, example in enumerate(examples):
            if example.out_of_range:
                found[row] = replace(found[row], out_of_range=example.out_of_range)
        for name, rows, distances_n in self._distances(encoded, batch):
            for row, distance in zip(rows, distances_n, strict=True):
                found[row] = replace(found[row], distances={**found[row].distances, name: float(distance)})
        return found

    def _distances(self, encoded: Encoded, batch: Batch) -> Iterator[tuple[str, NDArray[np.intp], Doubles]]:
        """By modality that has a cloud, the rows with an input of it, and how far each is."""
        clouds = {} if self.config.trust is None else self.config.trust.clouds
        for name, cloud in clouds.items():
            rows = batch.rows(name)
            if len(rows):
                yield name, rows, cloud.distances(encoded.vectors_BMD[rows, self.modalities.index(name)])

    def read(self, output: Output, present_BM: NDArray[np.bool_]) -> list[Prediction]:
        """What a pass says of each row, by the calibration of the modalities that it was shown."""
        predictions = []
        for row, present_M in enumerate(present_BM):
            used = tuple(name for name, there in zip(self.modalities, present_M, strict=True) if there)
            scores = {
                head: self._scores(head, subset_name(used), logits[row]) for head, logits in output.logits.items()
            }
            values = {head: self._value(head, subset_name(used), output, row) for head in output.values}
            predictions.append(Prediction(used, scores, output.embedding_BE[row], values))
        return predictions

    @property
    def single_label_heads(self) -> tuple[str, ...]:
        """The heads of which exactly one label holds: those with prediction sets."""
        return self.config.network.single_label_heads

    def check_coverage(self, modalities: Sequence[str]) -> None:
        """Tell before any work whether items with just these modalities can have prediction sets.

        Raises:
            InputError: a head has none fitted for these modalities, or the model has no head of a single label.
        """
        if not self.single_label_heads:
            raise InputError(
                "coverage",
                "there are prediction sets only of heads where exactly one label holds, and this model has none. "
                "Leave the field out.",
            )
        for head in self.single_label_heads:
            self.config.calibration.conformity_of(head, subset_name(modalities))

    def prediction_sets(self, prediction: Prediction, coverage: float) -> dict[str, list[str]]:
        """By head of a single label, the labels of its prediction set, the most probable first.

        Raises:
            InputError: as `check_coverage` does, for the modalities that the prediction used.
        """
        self.check_coverage(prediction.modalities_used)
        subset, calibration = subset_name(prediction.modalities_used), self.config.calibration
        sets: dict[str, list[str]] = {}
        for head in self.single_label_heads:
            labels = self.config.network.classes[head].labels
            chosen = calibration.prediction_set(head, subset, prediction.scores[head], coverage)
            sets[head] = [labels[number] for number in chosen]
        return sets

    def doubts(self, prediction: Prediction) -> tuple[Doubt, ...] | None:
        """Every reason not to trust a prediction; None where the checkpoint has no rules to judge by."""
        rules, used = self.config.trust, prediction.modalities_used
        if rules is None:
            return None
        return find_doubts(
            rules,
            subset_name(used),
            missing=tuple(name for name in rules.needs if name not in used),
            out_of_range=tuple(prediction.out_of_range),
            distances=prediction.distances,
            stds={head: value.std for head, value in prediction.values.items() if value.std is not None},
            scores={head: float(prediction.scores[head].max()) for head in self.single_label_heads},
        )

    def embed_targets(self, examples: Sequence[Example]) -> dict[str, Floats]:
        """Named vectors for a gallery: `fused`, and one for each modality; (B, E), NaN where an item lacks it."""
        batch = self.preprocessors.collate(examples)
        encoded = self.engine.encode(batch)
        targets = {"fused": self.engine.fuse(encoded, batch.present_BM).embedding_BE}
        for column, modality in enumerate(batch.modalities):
            rows = np.flatnonzero(batch.present_BM[:, column])
            named = np.full_like(targets["fused"], np.nan)
            if len(rows):
                alone = np.zeros((len(rows), len(batch.modalities)), dtype=bool)
                alone[:, column] = True
                named[rows] = self.engine.fuse(encoded.take(rows), alone).embedding_BE
            targets[modality] = named
        return targets

    def _scores(self, head: str, subset: str, logits_C: Floats) -> Floats:
        multi_label = self.config.network.classes[head].multi_label
        return self.config.calibration.probabilities(head, subset, logits_C, multi_label=multi_label)

    def _value(self, head: str, subset: str, output: Output, row: int) -> Value:
        config = self.config.network.targets[head]
        value = config.mean + config.std * float(output.values[head][row])
        if not config.uncertainty:
            return Value(value)
        log_variance = float(output.log_variances[head][row])
        return Value(value, config.std * self.config.calibration.deviation(head, subset, log_variance))


def load_predictor(
    checkpoint: Checkpoint, *, engine: EngineName = "auto", num_threads: int = 1, compiled: bool = False
) -> Predictor:
    """Build a predictor for `checkpoint` on the engine asked for.

    Args:
        checkpoint: verified, in memory.
        engine: `auto` is torch where there is a CUDA device and torch is installed, else ONNX Runtime.
        num_threads: CPU threads inside one operator.
        compiled: torch only; see `TorchEngine`.

    Raises:
        EngineError: if the engine is not installed.
        CheckpointError: if the checkpoint's graphs or weights cannot be loaded.
    """
    wants_torch = engine == "torch" or (engine == "auto" and _cuda_answers())
    chosen = (
        _torch_engine(checkpoint, num_threads, compiled=compiled)
        if wants_torch
        else OnnxEngine(checkpoint, num_threads=num_threads)
    )
    preprocessors = Preprocessors(checkpoint.config.preprocessing, checkpoint.tokenizer)
    return Predictor(checkpoint.config, preprocessors, chosen, checkpoint.contents.get(LANGUAGE_MODEL))


def _cuda_answers() -> bool:
    # Importing torch takes seconds and 200 MB, so only where there is a driver to ask.
    if shutil.which("nvidia-smi") is None or importlib.util.find_spec("torch") is None:
        return False
    return bool(importlib.import_module("torch").cuda.is_available())


def _torch_engine(checkpoint: Checkpoint, num_threads: int, *, compiled: bool) -> Engine:
    try:
        # By name: nothing here may depend on torch, which the service on a CPU does without.
        module = importlib.import_module("models.nets.torch_engine")
    except ModuleNotFoundError as error:
        raise EngineError(
            f"INTERMODAL_ENGINE=torch needs the package {error.name}, which is not installed. "
            "Install the extra: pip install -e '.[gpu]', or use INTERMODAL_ENGINE=onnx."
        ) from None
    return cast(Engine, module.TorchEngine(checkpoint, num_threads=num_threads, compiled=compiled))
