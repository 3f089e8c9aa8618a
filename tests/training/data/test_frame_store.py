"""Frames of a frozen encoder: computed once, the same afterwards, and never mistaken for another's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import WORD_START, AudioPreprocessing, NetworkConfig
from models.nets.encoders.audio import AudioEncoder, build_audio_encoder
from tests.sounds import RATE, spoken_recipe, write_recordings
from training.augmentation import Augmentation
from training.data.frame_store import FrameStore
from training.data.pairs import Pairs, load_pairs
from training.data.recordings import Recordings

CONFIG = AudioPreprocessing(rate_hz=RATE, num_mels=32, bands="speech_embedding")
TOKENS = ("", f"{WORD_START}a", f"{WORD_START}b")
SHORT, LONG = (np.linspace(-1, 1, length * 32).reshape(length, 32).astype(np.float32) for length in (5, 11))


def encoder_of(seed: int = 0) -> AudioEncoder:
    torch.manual_seed(seed)
    config = NetworkConfig.parse({"audio": {"kind": "speech_embedding", "hidden": 4}}, "x").audio
    assert config is not None
    return build_audio_encoder(config, 8).eval()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    path = write_recordings(tmp_path_factory.mktemp("recordings"))
    return load_pairs(path, spoken_recipe().data.columns, seed=0, val=0.1, test=0.1)


def never(_place: int) -> np.ndarray:
    raise AssertionError("computed again")


def test_frames_are_computed_once_and_read_by_the_next_training(tmp_path: Path) -> None:
    encoder = encoder_of()
    found = FrameStore(tmp_path, encoder, CONFIG).take(["s", "l", "s"], lambda place: (SHORT, LONG, SHORT)[place])
    assert found.lengths_n.tolist() == [2, 3, 2]
    with torch.inference_mode():
        expected = encoder.lower(torch.from_numpy(LONG)[None], torch.tensor([11])).features_nTF[0]
    torch.testing.assert_close(found.features_nTF[1], expected, rtol=1e-3, atol=1e-3)  # kept as halves
    again = FrameStore(tmp_path, encoder, CONFIG).take(["l", "s"], never)
    assert torch.equal(again.features_nTF[0], found.features_nTF[1])
    assert torch.equal(again.features_nTF[1], found.features_nTF[0])


def test_another_network_or_other_features_have_frames_of_their_own(tmp_path: Path) -> None:
    FrameStore(tmp_path, encoder_of(), CONFIG).take(["s"], lambda _: SHORT)
    other = CONFIG.model_copy(update={"rate_hz": 16_000})
    for store in (FrameStore(tmp_path, encoder_of(1), CONFIG), FrameStore(tmp_path, encoder_of(), other)):
        with pytest.raises(AssertionError, match="computed again"):
            store.take(["s"], never)


def test_a_line_that_was_broken_off_is_computed_again(tmp_path: Path) -> None:
    encoder = encoder_of()
    FrameStore(tmp_path, encoder, CONFIG).take(["s", "l"], lambda place: (SHORT, LONG)[place])
    [index] = tmp_path.glob("*/index.jsonl")
    index.write_text(index.read_text()[:-4])
    store = FrameStore(tmp_path, encoder, CONFIG)
    store.take(["s"], never)
    assert store.take(["l"], lambda _: LONG).lengths_n.tolist() == [3]


def test_a_draw_is_the_same_in_every_training_and_differs_from_the_next(pairs: Pairs, tmp_path: Path) -> None:
    rows, config = pairs.rows("train"), Augmentation(audio_variants=2, audio_join=0.0)
    found = set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        recordings = Recordings(pairs, CONFIG, TOKENS, FrameStore(folder, encoder_of(), CONFIG))
        for seed in range(8):
            drawn = recordings.augmented(rows[:3], config, np.random.default_rng(seed), joined=True)
            found.add(drawn.features.features_nTF[0].numpy().tobytes()[:400])
            assert drawn.alone_n.all()
    assert len(found) == 2


def test_joined_draws_say_all_of_their_words(pairs: Pairs, tmp_path: Path) -> None:
    recordings = Recordings(pairs, CONFIG, TOKENS, FrameStore(tmp_path, encoder_of(), CONFIG))
    config, rows = Augmentation(audio_variants=3, audio_join=1.0, audio_join_most=3), pairs.rows("train")[:4]
    for seed in range(6):
        drawn = recordings.augmented(rows, config, np.random.default_rng(seed), joined=True)
        assert not drawn.alone_n.any()
        assert 2 <= drawn.spoken.lengths_n.min() <= 3
        # A word is 0.3 s, which is at most 9 frames at 0.85 of its speed.
        assert (drawn.features.lengths_n >= 6 * drawn.spoken.lengths_n).all()


def test_without_variants_every_draw_is_new_and_plain_ones_are_kept(pairs: Pairs, tmp_path: Path) -> None:
    recordings = Recordings(pairs, CONFIG, TOKENS, FrameStore(tmp_path, encoder_of(), CONFIG))
    rows, config = pairs.rows("train")[:2], Augmentation(audio_variants=0)
    rng = np.random.default_rng(0)
    one, two = (recordings.augmented(rows, config, rng, joined=False).features.features_nTF for _ in range(2))
    assert one.shape != two.shape or not torch.equal(one, two)
    plain = recordings.plain(rows)
    assert torch.equal(plain.features.features_nTF, recordings.plain(rows).features.features_nTF)
    [index] = tmp_path.glob("*/index.jsonl")
    assert len(index.read_text().splitlines()) == 2
