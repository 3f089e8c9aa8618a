"""Records as the service would take them: their files' bytes and first text, by its own `decode` and `prepare`.

Knows what a fault is of; knows nothing of what is measured."""

from collections.abc import Sequence
from concurrent.futures import Executor

from models.batch import Example
from models.config import Preprocessing
from models.decode import decode_image
from models.decode_audio import decode_audio
from models.errors import InputError, ManifestError
from models.manifest import Record
from models.predictor import Predictor
from models.sample import Sample
from training.data.pairs import RECORDING_LIMITS


def prepare(predictor: Predictor, record: Record) -> Example:
    """One record.

    Raises:
        ManifestError: naming its row, if it cannot be decoded.
    """
    example = _example(predictor, record)
    if isinstance(example, InputError):
        raise ManifestError([f"row {record.row}: {example}"]) from example
    return example


def prepare_all(
    predictor: Predictor, records: Sequence[Record], manifest: str, pool: Executor
) -> tuple[list[Example], list[str]]:
    """Those that can be decoded, in order; and a fault for each that cannot, with its place in the manifest."""
    found = list(pool.map(lambda record: _example(predictor, record), records))
    faults = [
        f"{manifest}:{record.row}: {_words(record, error)}"
        for record, error in zip(records, found, strict=True)
        if isinstance(error, InputError)
    ]
    return [example for example in found if not isinstance(example, InputError)], faults


def decode(config: Preprocessing, record: Record) -> Sample:
    """One record's files and first text.

    Raises:
        InputError: a file that cannot be decoded.
    """
    image = audio = None
    if record.image is not None and config.image is not None:
        image = decode_image(record.image.read_bytes(), side_px=config.image.side_px)
    if record.audio is not None and config.audio is not None:
        audio = decode_audio(record.audio.read_bytes(), rate_hz=config.audio.rate_hz, limits=RECORDING_LIMITS)
    text = record.texts[0] if record.texts else None
    return Sample(image=image, text=text, audio=audio, sensors=record.sensors)


def _example(predictor: Predictor, record: Record) -> Example | InputError:
    try:
        return predictor.prepare(decode(predictor.config.preprocessing, record))
    except InputError as error:
        return error


def _words(record: Record, error: InputError) -> str:
    """What is wrong, with the file that it is of, as `check` has it."""
    path = {"image": record.image, "audio": record.audio}.get(error.field)
    return str(error) if path is None else f"{path.name}: {error.detail}"
