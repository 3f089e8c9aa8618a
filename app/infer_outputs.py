"""The tensors that a model answers with: which there are, and how they are made of answers. Knows no HTTP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from app import strict_json
from app.infer_payload import MATCH_OUTPUTS, InferRequest
from app.schemas.judgement import out_of_range_json, trust_json
from app.served import Answer, Model
from app.tensor_answer import TensorOut, Wanted
from models.errors import InputError
from models.predictor import Prediction
from retrieval.gallery import Floats

EMBEDDING = "embedding"
TRANSCRIPT = "transcript"
OUT_OF_RANGE, TRUST = "out_of_range", "trust"
"""As /predict has them, for an answer without its doubts would be acted upon."""

Needs = Literal["prediction", "matches", "transcript"]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What was found in one item: as much of it as the outputs need."""

    answer: Answer | None = None
    transcript: str = ""

    @property
    def prediction(self) -> Prediction:
        """What the network gave."""
        if self.answer is None:
            raise ValueError("these outputs need no prediction")
        return self.answer.prediction


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Output:
    """One tensor that a model can answer with.

    shape: -1 where it depends on the request.
    make: from the rows, in order, to a tensor.
    labels: the names of its columns, which `classification` sorts.
    """

    datatype: Literal["FP32", "BYTES"]
    shape: tuple[int, ...]
    needs: Needs = "prediction"
    make: Callable[[Sequence[Row]], Floats | Sequence[str]]
    labels: Sequence[str] = ()


def outputs_of(model: Model) -> dict[str, Output]:
    """The outputs by name: for each head its scores and its labels, numbers, the embedding, matches, a transcript.

    Models that say what speaks against their answers have that too. A head that is called like another output has
    `head.` before its name.
    """
    predictor, network = model.predictor, model.predictor.config.network
    fixed = {EMBEDDING: _embedding(network.embedding.dimensions)}
    if "sensors" in network.modalities:
        fixed[OUT_OF_RANGE] = _texts(lambda row: out_of_range_json(row.prediction))
    if predictor.config.trust is not None:
        fixed[TRUST] = _texts(lambda row: trust_json(predictor.doubts(row.prediction) or ()))
    if predictor.transcriber is not None:
        fixed[TRANSCRIPT] = Output(
            datatype="BYTES", shape=(-1,), needs="transcript", make=lambda rows: [row.transcript for row in rows]
        )
    if model.gallery is not None:
        fixed |= _matches()
    found: dict[str, Output] = {}
    taken = {*fixed, *MATCH_OUTPUTS}
    for head, described in network.classes.items():
        name = _free(head, taken)
        found[name] = _scores(head, described.labels)
        found[_free(f"{head}.labels", taken)] = _names(described.labels)
    for head, number in network.targets.items():
        found[_free(head, taken)] = _value(head)
        if number.uncertainty:
            found[_free(f"{head}.std", taken)] = _std(head)
    return found | fixed


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"head.{name}"
    taken.add(name)
    return name


def _scores(head: str, labels: Sequence[str]) -> Output:
    return Output(
        datatype="FP32",
        shape=(-1, len(labels)),
        make=lambda rows: np.stack([row.prediction.scores[head] for row in rows]),
        labels=labels,
    )


def _names(labels: Sequence[str]) -> Output:
    return Output(datatype="BYTES", shape=(len(labels),), make=lambda _: labels)


def _value(head: str) -> Output:
    def make(rows: Sequence[Row]) -> Floats:
        return np.array([row.prediction.values[head].value for row in rows], np.float32)

    return Output(datatype="FP32", shape=(-1,), make=make)


def _std(head: str) -> Output:
    def make(rows: Sequence[Row]) -> Floats:
        return np.array([row.prediction.values[head].std or 0.0 for row in rows], np.float32)

    return Output(datatype="FP32", shape=(-1,), make=make)


def _embedding(dimensions: int) -> Output:
    return Output(
        datatype="FP32",
        shape=(-1, dimensions),
        make=lambda rows: np.stack([row.prediction.embedding_E for row in rows]).astype(np.float32),
    )


def _texts(part: Callable[[Row], dict[str, Any]]) -> Output:
    """An object of each row (N,), as texts of JSON."""
    return Output(
        datatype="BYTES", shape=(-1,), make=lambda rows: [strict_json.write(part(row)).decode() for row in rows]
    )


def _matches() -> dict[str, Output]:
    """Ids and cosines (N, K), the nearest first; a row with fewer than another ends in empty ids, at -1."""

    def padded(rows: Sequence[Row], part: Callable[[Any], Any], rest: object) -> list[list[Any]]:
        found = [[part(match) for match in row.answer.matches] if row.answer else [] for row in rows]
        most = max(map(len, found), default=0)
        return [[*own, *[rest] * (most - len(own))] for own in found]

    ids, scores = MATCH_OUTPUTS
    return {
        ids: Output(
            datatype="BYTES",
            shape=(-1, -1),
            needs="matches",
            make=lambda rows: [name for row in padded(rows, lambda match: match.item.id, "") for name in row],
        ),
        scores: Output(
            datatype="FP32",
            shape=(-1, -1),
            needs="matches",
            make=lambda rows: np.array(padded(rows, lambda match: match.score, -1.0), np.float32),
        ),
    }


def chosen(model: Model, request: InferRequest) -> dict[Wanted, Output]:
    """The outputs that were asked for; else all that the model has, matches only where something asks for them.

    Raises:
        InputError: the model has none of that name, or `classification` of one without labels.
    """
    outputs = outputs_of(model)
    matches = any(item.search is not None for item in request.items)
    if request.outputs is None:
        return {
            Wanted(name, request.binary): output
            for name, output in outputs.items()
            if matches or output.needs != "matches"
        }
    for wanted in request.outputs:
        if wanted.name not in outputs:
            known = ", ".join(outputs)
            raise InputError(
                "outputs", f"the model {model.name!r} has none named {wanted.name[:60]!r}. There are: {known}."
            )
        if wanted.num_classes and not outputs[wanted.name].labels:
            raise InputError(wanted.name[:60], "classification is for the scores of a head. Leave it out here.")
    return {wanted: outputs[wanted.name] for wanted in request.outputs}


def tensor_of(wanted: Wanted, output: Output, rows: Sequence[Row]) -> TensorOut:
    """The tensor that `output` makes of the rows, (N, …)."""
    values = output.make(rows)
    if wanted.num_classes and isinstance(values, np.ndarray):
        best = [_best(scores_C, output.labels, wanted.num_classes) for scores_C in values]
        return TensorOut(wanted, (len(best), len(best[0])), [entry for row in best for entry in row])
    if isinstance(values, np.ndarray):
        return TensorOut(wanted, values.shape, values)
    if output.shape == (-1, -1):
        return TensorOut(wanted, (len(rows), len(values) // len(rows)), values)
    return TensorOut(wanted, (len(values),), values)


def _best(scores_C: Floats, labels: Sequence[str], num_classes: int) -> list[str]:
    """As Triton writes classes: "score:index:label", the most probable first."""
    order = np.argsort(-scores_C, kind="stable")[:num_classes]
    return [f"{scores_C[index]:.6f}:{index}:{labels[index]}" for index in order]


def described(outputs: Mapping[str, Output]) -> list[dict[str, Any]]:
    """The outputs as the protocol's metadata has them."""
    return [
        {"name": name, "datatype": output.datatype, "shape": list(output.shape)}
        for name, output in outputs.items()
    ]
