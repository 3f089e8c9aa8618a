"""What a model can do, and what is said where it cannot."""

from collections.abc import Callable

from app.payload import Inputs
from app.refusals import NotFoundError
from app.registry import Registry
from app.served import Model
from models.errors import InputError


def transcribes(model: Model) -> bool:
    """Whether it writes down what is said."""
    return model.predictor.transcriber is not None


def generates(model: Model) -> bool:
    """Whether it writes texts."""
    return model.captioner is not None


def first_able(registry: Registry, name: str | None, is_able: Callable[[Model], bool], what: str) -> Model:
    """The model of that name; without one, the first that is able; `what` follows "No model that is served here".

    Raises:
        NotFoundError: no such model, or none that is able.
    """
    if name is not None:
        return registry.get(name, None)
    found = next((model for model in registry.current if is_able(model)), None)
    if found is None:
        raise NotFoundError(f"No model that is served here {what}")
    return found


def check_known(model: Model, inputs: Inputs) -> None:
    """Refuse what the model does not know.

    Raises:
        InputError: naming the modality.
    """
    for name in inputs.modalities:
        if name not in model.modalities:
            raise InputError(
                name, f"the model {model.name!r} does not know it. It knows: {', '.join(model.modalities)}."
            )


def check_transcribes(model: Model) -> None:
    """Refuse a model that has no head of transcripts.

    Raises:
        InputError: it has none.
    """
    if model.predictor.transcriber is None:
        raise InputError("model", f"the model {model.name!r} does not transcribe. Ask one that does.")


def check_generates(model: Model, field: str = "model") -> None:
    """Refuse a model that writes no texts, in words about `field`.

    Raises:
        InputError: it has no head for that.
    """
    if model.captioner is None:
        raise InputError(field, f"the model {model.name!r} writes no texts. Ask one that does.")
