import numpy as np
import pytest

from models.errors import InputError
from models.predictor import Predictor
from models.preprocess import Preprocessors
from models.sample import Sample
from models.transcriber import Utterances, join
from models.transcript import Alternative, Transcript, Word
from tests.fakes import RATE_HZ, FakeEngine, make_predictor, make_tokenizer


def sound(*loudness: float) -> np.ndarray:
    """0.1 s of a tone of each loudness."""
    times_S = np.arange(RATE_HZ // 10) / RATE_HZ
    return np.concatenate([level * np.sin(2 * np.pi * 440 * times_S) for level in loudness]).astype(np.float32)


PAUSE = (0.0,) * 5
WORD = (0.9, 0.9)


def test_a_recording_is_read_in_pieces_between_its_pauses_by_one_pass() -> None:
    engine = FakeEngine()
    transcriber = make_predictor("speech", engine=engine, hears=True).transcriber
    assert transcriber is not None
    recordings = [
        transcriber.prepare(Sample(audio=sound(*parts))) for parts in ((*WORD, *PAUSE, *WORD), PAUSE, WORD)
    ]
    assert [len(recording.examples) for recording in recordings] == [2, 0, 1]
    assert recordings[0].starts == pytest.approx((0.0, 0.55))
    first, second, third = transcriber.transcribe(recordings)
    assert engine.batches == [3]
    assert [one.text for one in (first, second, third)] == ["a a", "", "a"]
    assert second == Transcript()
    assert [word.start_seconds for word in first.words] == pytest.approx([0.0, 0.7], abs=0.03)


def test_silence_around_a_piece_is_read_with_it_and_moves_no_word() -> None:
    plain = make_predictor("speech", hears=True)
    head = plain.config.network.transcript
    assert head is not None
    network = plain.config.network.model_copy(
        update={"transcript": head.model_copy(update={"around_seconds": 0.2})}
    )
    config = plain.config.model_copy(update={"network": network})
    around = Predictor(config, Preprocessors(config.preprocessing, make_tokenizer()), FakeEngine()).transcriber
    assert plain.transcriber is not None
    assert around is not None
    sample = Sample(audio=sound(*WORD))
    one, other = plain.transcriber.prepare(sample), around.prepare(sample)
    assert other.starts == pytest.approx((-0.2,))
    lengths = [len(part.examples[0].arrays["audio"]["features"]) for part in (one, other)]
    assert lengths[1] == lengths[0] + 2 * 20  # features, of 10 ms
    [before], [after] = plain.transcriber.transcribe([one]), around.transcribe([other])
    for word, again in zip(before.words, after.words, strict=True):
        assert again.start_seconds == pytest.approx(word.start_seconds, abs=0.03)
        assert again.start_seconds >= 0


def test_nothing_at_all_takes_no_pass() -> None:
    engine = FakeEngine()
    transcriber = make_predictor("speech", engine=engine, hears=True).transcriber
    assert transcriber is not None
    assert transcriber.transcribe([Utterances(), Utterances()]) == [Transcript(), Transcript()]
    assert engine.batches == []
    with pytest.raises(InputError, match="nothing to transcribe"):
        transcriber.prepare(Sample(text="a"))


def test_parts_are_joined_with_their_times_and_the_mean_of_their_confidences() -> None:
    one = Transcript("a b", 0.5, (Word("a", 0.0, 0.1, 0.5), Word("b", 0.2, 0.3, 0.5)))
    other = Transcript("c", 0.9, (Word("c", 0.1, 0.2, 0.9),))
    found = join([(0.0, one), (1.5, Transcript("", 0.8)), (2.0, other)], 0)
    assert found.text == "a b c"
    assert [(word.text, word.start_seconds) for word in found.words] == [("a", 0.0), ("b", 0.2), ("c", 2.1)]
    assert found.confidence == pytest.approx((0.5**2 * 0.8 * 0.9) ** 0.25)
    assert found.alternatives == ()
    assert join([], 3) == Transcript()


def test_alternatives_of_parts_are_combined_the_likeliest_first() -> None:
    one = Transcript("a", alternatives=(Alternative("a", 0.6), Alternative("b", 0.4)))
    other = Transcript("c", alternatives=(Alternative("c", 0.9), Alternative("", 0.1)))
    found = join([(0.0, one), (1.0, other)], 3).alternatives
    assert [(alternative.text, round(alternative.confidence, 6)) for alternative in found] == [
        ("a c", 0.54),
        ("b c", 0.36),
        ("a", 0.06),
    ]
