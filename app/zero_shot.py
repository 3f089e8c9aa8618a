"""Classes that nobody trained: an input's score for each of some labels, by the space that both are embedded in.

As CLIP does it (Radford et al. 2021): the softmax of cosines over a temperature. Knows nothing of HTTP."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.call import Call
from app.payload import Inputs
from app.served import Model
from app.service import Service
from models.errors import InputError
from retrieval.gallery import Floats

MAX_KNOWN_LABELS = 10_000  # 5 MB of vectors of 128 numbers


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """A label and its share, 0 to 1; those of one input sum to 1."""

    label: str
    score: float


class LabelVectors:
    """Vectors of labels that were asked for before; those that were not asked for the longest go first."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[tuple[str, str], Floats] = OrderedDict()

    async def of(self, service: Service, model: Model, texts: Sequence[str], call: Call) -> Floats:
        """Unit vectors (L, E), in order. Raises as `Answering.embed` does."""
        keys = [(model.embedding.id, text) for text in texts]
        gate = asyncio.Semaphore(max(1, service.settings.max_queue_items // 4))

        async def embed(key: tuple[str, str]) -> None:
            async with gate:
                answer = await service.answering.embed(model, Inputs(text=key[1]), call)
            self._vectors[key] = answer.prediction.embedding_E

        missing = [key for key in dict.fromkeys(keys) if key not in self._vectors]
        async with asyncio.TaskGroup() as group:
            for key in missing:
                group.create_task(embed(key))
        found = np.stack([self._vectors[key] for key in keys])
        for key in keys:
            self._vectors.move_to_end(key)
        while len(self._vectors) > MAX_KNOWN_LABELS:
            self._vectors.popitem(last=False)
        return found


async def classify(
    service: Service, known: LabelVectors, model: Model, inputs: Inputs, labels: Sequence[str], call: Call,
    *, template: str = "{}", temperature: float,
) -> list[ScoredLabel]:  # fmt: skip
    """Every label with its share, the most probable first.

    Args:
        service: that embeds.
        known: labels' vectors of before.
        model: one that knows texts.
        inputs: what is to be classified.
        labels: at least two, all different.
        call: whose.
        template: what a label is put into, at {}.
        temperature: the smaller, the more the nearest label gets.

    Raises:
        InputError: the model knows no texts.
        Exception: as `Answering.predict` does.
    """
    if "text" not in model.modalities:
        raise InputError("labels", f"the model {model.name!r} knows no texts, so it cannot read labels.")
    texts = [template.replace("{}", label) for label in labels]
    try:
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(service.answering.embed(model, inputs, call))
            vectors = group.create_task(known.of(service, model, texts, call))
    except* Exception as group_of_errors:
        raise _first(group_of_errors) from None
    logits_L = (vectors.result() @ answer.result().prediction.embedding_E).astype(np.float64) / temperature
    shares_L = np.exp(logits_L - logits_L.max())
    shares_L /= shares_L.sum()
    order = np.argsort(-shares_L, kind="stable")
    return [ScoredLabel(labels[index], round(float(shares_L[index]), 6)) for index in order]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
