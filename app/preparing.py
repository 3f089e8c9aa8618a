"""From what came in to what the network takes, and what a pass over it will cost. Knows no queue."""

from time import perf_counter

from app.media import DecodeLimits
from app.stages import Raw, Ready
from models.config import MODALITIES
from models.explainer import Explainer
from models.sample import Sample


def prepare(raw: Raw, limits: DecodeLimits) -> Ready:
    """Decode what came as files, and make arrays of it, as what is wanted needs them.

    Raises:
        InputError: it cannot be decoded, or has more than `limits` allow.
    """
    start = perf_counter()
    sample = raw.inputs if isinstance(raw.inputs, Sample) else raw.model.decode(raw.inputs, limits)
    predictor = raw.model.predictor
    audio = predictor.config.preprocessing.audio
    heard = 0.0 if sample.audio is None or audio is None else len(sample.audio) / audio.rate_hz
    if raw.want == "original":
        subject = Explainer(predictor, raw.detail).prepare(sample)
        return Ready(raw, (subject.example,), perf_counter() - start, heard, subject=subject)
    if raw.want != "transcript":
        return Ready(raw, (predictor.prepare(sample),), perf_counter() - start, heard)
    if predictor.transcriber is None:
        raise ValueError("this model does not transcribe")
    utterances = predictor.transcriber.prepare(sample)
    return Ready(raw, utterances.examples, perf_counter() - start, heard, utterances.starts)


def for_a_pass(ready: Ready) -> Ready | None:
    """The same; None where no pass is wanted: nothing is heard that could be transcribed, or scribes write."""
    return None if not ready.examples or ready.raw.want == "text" else ready


def cost(ready: Ready) -> tuple[int, ...]:
    """What of a batch's limits it takes, by modality."""
    cost_of = ready.raw.model.predictor.preprocessors.cost
    costs = [cost_of(example) for example in ready.examples]
    return tuple(sum(cost.get(modality, 0) for cost in costs) for modality in MODALITIES)
