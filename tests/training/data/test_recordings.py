from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import WORD_START, AudioPreprocessing
from models.decode_audio import decode_audio
from models.preprocess.audio import AudioPreprocessor
from models.sample import Sample
from tests.sounds import RATE, spoken_recipe, write_recordings
from training.augmentation import Augmentation
from training.data.pairs import Pairs, load_pairs
from training.data.recordings import Recordings

CONFIG = AudioPreprocessing(rate_hz=RATE, num_mels=16)
TOKENS = ("", f"{WORD_START}a", f"{WORD_START}b")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    path = write_recordings(tmp_path_factory.mktemp("recordings"))
    return load_pairs(path, spoken_recipe().data.columns, seed=0, val=0.1, test=0.1)


def test_what_is_not_changed_is_what_serving_prepares(pairs: Pairs) -> None:
    rows = np.array([3, 0])
    found = Recordings(pairs, CONFIG, TOKENS).plain(rows)
    for place, row in enumerate(rows):
        samples = decode_audio(Path(pairs.recordings[row]).read_bytes(), rate_hz=RATE)
        arrays = AudioPreprocessor(CONFIG).prepare(Sample(audio=samples))
        assert arrays is not None
        length = int(found.features.lengths_n[place])
        assert np.array_equal(found.features.features_nTF[place, :length].numpy(), arrays["features"])
    assert found.spoken.tokens_nL.tolist() == [[2], [1]]
    assert found.alone_n.all()


def test_only_training_rows_have_tokens_for_others_may_say_what_none_spells(pairs: Pairs) -> None:
    rows = np.array([0, int(pairs.rows("test")[0])])
    assert Recordings(pairs, CONFIG, TOKENS).plain(rows).spoken.known_n.tolist() == [True, False]
    assert Recordings(pairs, CONFIG).plain(rows).spoken.known_n.tolist() == [False, False]


def test_joined_recordings_are_of_one_speaker_and_say_all_of_their_words(pairs: Pairs) -> None:
    recordings = Recordings(pairs, CONFIG, TOKENS)
    config = Augmentation(audio_join=1.0, audio_join_most=4, audio_speed=0.0, audio_pause_ms=(100.0, 100.0))
    for row in pairs.rows("train"):
        chain = recordings._chain(int(row), 3, np.random.default_rng(0))
        assert chain[0] == row
        assert len(chain) == 4
        assert {pairs.records[one].speaker for one in chain} == {pairs.records[row].speaker}
        assert set(chain) <= set(pairs.rows("train").tolist())
    found = recordings.augmented(pairs.rows("train"), config, np.random.default_rng(1), joined=True)
    assert not found.alone_n.any()
    [length] = set(found.spoken.lengths_n.tolist())
    assert 2 <= length <= 4
    # A word is 0.3 s, of 30 features; a pause 10 more.
    assert (found.features.lengths_n >= 30 * found.spoken.lengths_n + 10 * (found.spoken.lengths_n - 1) - 2).all()


def test_without_joining_each_recording_is_one_row_s(pairs: Pairs) -> None:
    config = Augmentation(audio_join=1.0)
    found = Recordings(pairs, CONFIG, TOKENS).augmented(
        pairs.rows("train"), config, np.random.default_rng(0), joined=False
    )
    assert found.alone_n.all()
    assert (found.spoken.lengths_n == 1).all()


def test_characters_of_joined_words_have_the_mark_between_them(pairs: Pairs) -> None:
    recordings = Recordings(pairs, CONFIG, ("", WORD_START, "a", "b"))
    assert recordings._said([0, 1, 2]) == [2, 1, 3, 1, 2]


def test_the_same_seed_changes_alike(pairs: Pairs) -> None:
    recordings, rows = Recordings(pairs, CONFIG, TOKENS), pairs.rows("train")[:6]
    first, second = (
        recordings.augmented(rows, Augmentation(), np.random.default_rng(5), joined=True) for _ in range(2)
    )
    assert torch.equal(first.features.features_nTF, second.features.features_nTF)
    assert torch.equal(first.spoken.tokens_nL, second.spoken.tokens_nL)
