"""Recordings through both engines: graphs equal the network, weights are stored once, frames keep their order."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import onnx_engine
from models.batch import Arrays, Batch
from models.checkpoint import GRAPH_TENSORS, WEIGHTS, Checkpoint, read_checkpoint
from models.config import NetworkConfig
from models.engine import Engine, Frames
from models.errors import CheckpointError
from models.nets.network import Network
from models.nets.torch_engine import TorchEngine
from models.onnx_engine import OnnxEngine
from tests.tiny import (
    SIDE_PX,
    picture,
    tiny_checkpoint,
    tiny_network,
    tiny_recipe,
    tiny_tokenizer,
    write_checkpoint,
)
from training import assemble
from training.export import export_network

NUM_MELS = 32
KINDS: dict[str, dict[str, Any]] = {
    "gru": {"kind": "cnn_gru", "num_mels": NUM_MELS, "channels": [4, 4], "hidden": 8, "layers": 2},
    "conformer": {
        "kind": "conformer",
        "num_mels": NUM_MELS,
        "channels": [4],
        "hidden": 8,
        "layers": 2,
        "heads": 2,
    },
}
KINDS["speech embedding"] = {"kind": "speech_embedding", "hidden": 8}
KINDS["conformer, of little reach"] = {**KINDS["conformer"], "reach": 3}
KINDS["gru, one in four"] = {**KINDS["gru"], "subsampling": 4}
LENGTHS = (13, 1, 30, 2)


def config_of(kind: str = "gru", **changes: Any) -> NetworkConfig:
    values = {**NetworkConfig.tiny_audio().model_dump(), "audio": KINDS[kind], **changes}
    return NetworkConfig.parse(values, "x")


@functools.cache
def _checkpoint_of(config: str) -> Checkpoint:
    return export(NetworkConfig.model_validate_json(config))


def checkpoint_of(config: NetworkConfig) -> Checkpoint:
    """In memory; made once for each config."""
    return _checkpoint_of(config.model_dump_json())


def export(config: NetworkConfig) -> Checkpoint:
    recipe = tiny_recipe().model_copy(update={"network": config})
    return assemble.in_memory_checkpoint(tiny_network(config), tiny_tokenizer(), recipe, {})


def recordings(lengths: tuple[int, ...], filler: float = -1.0) -> Arrays:
    """Each made of its length alone."""
    features = np.full((len(lengths), max(lengths), NUM_MELS), filler, dtype=np.float32)
    for row, length in enumerate(lengths):
        features[row, :length] = np.random.default_rng(length).uniform(-1, 1, (length, NUM_MELS))
    return {"features": features, "lengths": np.array(lengths, dtype=np.int64)}


def batch_of(lengths: tuple[int, ...] = LENGTHS, filler: float = -1.0) -> Batch:
    """An item with an image alone, and then one for each recording; the last has an image, too."""
    present = np.zeros((1 + len(lengths), 3), dtype=bool)
    present[[0, -1], 0] = True
    present[1:, 2] = True
    pixels = np.stack([picture(0), picture(1)])
    return Batch(
        {"image": {"pixels": pixels}, "audio": recordings(lengths, filler)}, present, ("image", "text", "audio")
    )


def engines(checkpoint: Checkpoint) -> tuple[Engine, Engine]:
    return OnnxEngine(checkpoint), TorchEngine(checkpoint)


def own_frames(frames: Frames) -> list[NDArray[np.float32]]:
    return [row[:length] for row, length in zip(frames.log_probs_nTV, frames.lengths_n, strict=True)]


def assert_close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [(1,), (2, 1), (40, 3, 17)])
def test_the_graphs_equal_the_network_for_sizes_that_were_not_traced(kind: str, lengths: tuple[int, ...]) -> None:
    config = config_of(kind, fusion="cross_attention")
    engine, network = OnnxEngine(checkpoint_of(config)), tiny_network(config)
    inputs = recordings(lengths, filler=float("nan"))
    with torch.inference_mode():
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        encoded = network.encode("audio", tensors)
        frames = network.frames(network.encoders["audio"](**tensors))
    found = engine._encoders["audio"].run(inputs)
    for name, expected in zip(("vector", "tokens", "valid"), encoded[:3], strict=True):
        assert expected is not None
        assert_close(found[name], expected.numpy())
    assert engine._ctc is not None
    found = engine._ctc.run(inputs)
    assert_close(found["log_probs"], frames.numpy())
    subsampling = getattr(config.audio, "subsampling", 0)
    assert found["frame_lengths"].tolist() == [-(-length // subsampling) for length in lengths]
    assert found["frame_lengths"].dtype == np.int64


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_of_each_recording_alone_on_both_engines(kind: str) -> None:
    onnx, other = engines(checkpoint_of(config_of(kind)))
    frames = onnx.frames(batch_of())
    assert frames.log_probs_nTV.dtype == np.float32
    assert frames.log_probs_nTV.shape == (4, frames.lengths_n.max(), 4)
    np.testing.assert_allclose(np.exp(frames.log_probs_nTV).sum(2), 1, atol=1e-5)
    for engine in (onnx, other):
        for filler in (-1.0, float("nan")):
            together = engine.frames(batch_of(filler=filler))
            assert together.lengths_n.dtype == np.int64
            for row, length in enumerate(LENGTHS):
                assert_close(own_frames(together)[row], own_frames(onnx.frames(batch_of((length,))))[0])


@pytest.mark.parametrize("fusion", ["gated", "cross_attention"])
@pytest.mark.parametrize("limit", [1, 20, 60, 1_600])
def test_recordings_that_are_run_in_parts_give_the_same(
    fusion: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx, other = engines(checkpoint_of(config_of(fusion=fusion)))
    monkeypatch.setattr(onnx_engine, "MAX_FEATURES_PER_RUN", limit)
    batch = batch_of()
    encoded, expected = onnx.encode(batch), other.encode(batch)
    assert_close(encoded.vectors_BMD, expected.vectors_BMD)
    for name, tokens in encoded.tokens.items():
        assert (tokens.valid_BT == expected.tokens[name].valid_BT).all()
        valid = tokens.valid_BT
        assert_close(tokens.values_BTD[valid], expected.tokens[name].values_BTD[valid])
    one, two = (engine.fuse(encoded, batch.present_BM) for engine in (onnx, other))
    assert_close(one.embedding_BE, two.embedding_BE)
    for found, wanted in zip(own_frames(onnx.frames(batch)), own_frames(other.frames(batch)), strict=True):
        assert_close(found, wanted)


def test_neighbours_are_run_together_up_to_the_limit_and_a_longer_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnx_engine, "MAX_FEATURES_PER_RUN", 20)
    parts = onnx_engine._parts(recordings((10, 5, 6, 30, 1, 1)))
    # 2 x 10 are 20; 6 and 30 together would be 60; 30 is alone with itself; 1 and 1 are 2.
    assert [part["lengths"].tolist() for part in parts] == [[10, 5], [6], [30], [1, 1]]
    assert [part["features"].shape[:2] for part in parts] == [(2, 10), (1, 6), (1, 30), (2, 1)]


def test_a_batch_without_a_recording_has_no_frames() -> None:
    batch = Batch(
        {"image": {"pixels": picture(0)[None]}}, np.array([[True, False, False]]), ("image", "text", "audio")
    )
    for engine in engines(checkpoint_of(config_of())):
        log_probs, lengths = engine.frames(batch)
        assert log_probs.shape == (0, 0, 4)
        assert lengths.shape == (0,)


def test_a_network_without_a_transcript_has_no_frames() -> None:
    checkpoint = checkpoint_of(config_of(transcript=None))
    assert "ctc" not in checkpoint.config.graphs
    for engine in engines(checkpoint):
        with pytest.raises(ValueError, match="transcript"):
            engine.frames(batch_of())
    for engine in engines(tiny_checkpoint()):
        with pytest.raises(ValueError, match="transcript"):
            engine.frames(batch_of())


def test_half_precision_keeps_frames_close_and_probabilities_whole() -> None:
    for kind in ("gru", "conformer"):
        checkpoint = checkpoint_of(config_of(kind))
        whole = TorchEngine(checkpoint).frames(batch_of())
        half = TorchEngine(checkpoint, precision="float16").frames(batch_of())
        assert half.log_probs_nTV.dtype == np.float32
        np.testing.assert_allclose(np.exp(half.log_probs_nTV).sum(2), 1, atol=1e-5)
        for found, expected in zip(own_frames(half), own_frames(whole), strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=0.02)
            assert (found != expected).any()


def test_a_network_of_recordings_alone_is_a_network() -> None:
    config = config_of(image=None, text=None)
    recipe = tiny_recipe().model_copy(update={"network": config})
    checkpoint = assemble.in_memory_checkpoint(tiny_network(config), None, recipe, {})
    assert set(checkpoint.config.graphs) == {"encode.audio", "fuse", "ctc"}
    inputs = recordings(LENGTHS)
    batch = Batch({"audio": inputs}, np.ones((4, 1), dtype=bool), ("audio",))
    one, two = (engine.fuse(engine.encode(batch), batch.present_BM) for engine in engines(checkpoint))
    assert_close(one.embedding_BE, two.embedding_BE)


# The weights file


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_stored_once_whatever_its_graphs_make_of_it(kind: str) -> None:
    # Wide enough that a weight would be shared, and a transposed copy be seen.
    config = config_of(kind, audio={**KINDS[kind], "hidden": 64})
    network = tiny_network(config)
    exported = export_network(network, SIDE_PX)
    tensors = {name for role in ("encode.audio", "ctc") for name in exported.graphs[role].tensors}
    own = {name for name, value in network.encoders["audio"].named_parameters() if value.numel() * 4 >= 1024}
    assert {f"encoders.audio.{name}" for name in own} <= tensors
    assert not [name for name in tensors if name.startswith(GRAPH_TENSORS)]
    weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    assert len(exported.files[WEIGHTS]) < weights + 40_000


def test_each_role_of_recordings_has_a_graph_with_its_inputs_and_outputs() -> None:
    graphs = export_network(tiny_network(config_of(fusion="cross_attention")), SIDE_PX).graphs
    roles = {role: (graphs[role].inputs, graphs[role].outputs) for role in ("encode.audio", "ctc")}
    assert roles == {
        "encode.audio": (("features", "lengths"), ("vector", "tokens", "valid")),
        "ctc": (("features", "lengths"), ("log_probs", "frame_lengths")),
    }
    assert graphs["fuse"].inputs[-2:] == ("tokens.audio", "valid.audio")


def test_a_version_on_disk_gives_the_same_frames(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(config_of())
    read = read_checkpoint(write_checkpoint(tmp_path / "tiny" / "1", checkpoint))
    assert read.config.network == config_of()
    before, after = (OnnxEngine(part).frames(batch_of()) for part in (checkpoint, read))
    assert (before.log_probs_nTV == after.log_probs_nTV).all()


def test_a_checkpoint_with_a_transcript_needs_its_graph() -> None:
    checkpoint = checkpoint_of(config_of())
    graphs = {role: graph for role, graph in checkpoint.config.graphs.items() if role != "ctc"}
    config = checkpoint.config.model_copy(update={"graphs": graphs})
    with pytest.raises(CheckpointError, match="no graph 'ctc'"):
        OnnxEngine(Checkpoint(checkpoint.path, config, "", checkpoint.contents))


def test_a_network_is_not_built_before_its_tokens_are_known() -> None:
    with pytest.raises(ValueError, match="tokens"):
        Network(config_of(transcript={"kind": "ctc"}))
