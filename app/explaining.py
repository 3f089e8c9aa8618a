"""A prediction with its explanation: the item goes through the pipe whole, and then once for each thing left out.

Each variation waits for its turn as an item of its own, so an explanation takes no more of the network at once
than any other request, however long it is."""

import asyncio
from time import perf_counter

from app.all_or_none import all_or_none
from app.call import Call
from app.generation import Text
from app.payload import Inputs
from app.pipeline import Pipeline
from app.served import Answer, Model
from app.stages import Raw, SearchBy
from models.explainer import Explainer, Variation
from models.occlusion import Detail, Grid
from models.shapley import Doubles


async def explain(
    pipeline: Pipeline,
    model: Model,
    inputs: Inputs,
    search: SearchBy | None,
    call: Call,
    detail: Detail,
    at_once: int,
    text: Text | None = None,
) -> Answer:
    """Take one item to its answer, with the explanation; `at_once` of its variations wait for a pass together.

    A `text` is written about it too, as by `Pipeline.run`.

    Raises:
        Exception: as `Pipeline.run` does.
    """
    pipeline.admit(call, num_items=1 + num_variations(model, inputs, detail))
    if text is not None:
        pipeline.generation.admit(call)
    raw = Raw(model, inputs, "original", search, detail=detail, for_text=text is not None)
    found, original, matches = await pipeline.examine(raw, call)
    start = perf_counter()
    explainer = Explainer(model.predictor, detail)
    gate = asyncio.Semaphore(at_once)

    async def fall(variation: Variation) -> Doubles:
        async with gate:
            return await pipeline.vary(model, original, variation, call)

    falls = await all_or_none([fall(variation) for variation in explainer.variations(original)])
    explanation = explainer.explanation(original, falls)
    call.record("explain", perf_counter() - start)
    answer = Answer(model, original.prediction, matches, explanation)
    pipeline.on_answer(answer)
    return answer if text is None else await pipeline.describe(answer, found, text, call)


def num_variations(model: Model, inputs: Inputs, detail: Detail) -> int:
    """How many passes the explanation will take, as far as can be told before anything is decoded."""
    windows = len(Grid(detail.cells).windows) if inputs.image is not None and detail.cells else 0
    words = 0 if inputs.text is None else min(detail.words, len(inputs.text.split()))
    known = model.modalities
    return windows * ("image" in known) + words * ("text" in known)
