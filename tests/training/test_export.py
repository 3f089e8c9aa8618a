import json

import numpy as np
import onnx
import pytest
import torch

from models.checkpoint import GRAPH_TENSORS, WEIGHTS
from models.config import NetworkConfig, RegressionHead
from models.engine import EncodedArrays, Engine
from models.nets.encoders.image import ImageEncoder
from models.nets.network import Network
from models.onnx_engine import OnnxEngine
from tests.tiny import SIDE_PX, picture, tiny_checkpoint, tiny_network, tiny_recipe, tiny_tokenizer
from training import assemble
from training.export import SHARED_BYTES, Exported, LowerSession, export_network


@pytest.fixture(scope="module")
def network() -> Network:
    return tiny_network()


@pytest.fixture(scope="module")
def exported(network: Network) -> Exported:
    return export_network(network, SIDE_PX)


def places(weights: bytes) -> dict[str, tuple[int, int]]:
    """Where each tensor of a safetensors file begins and how long it is, as its format says."""
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    header.pop("__metadata__", None)
    return {
        name: (8 + length + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
    }


def test_each_role_has_a_graph_with_its_inputs_and_outputs(exported: Exported) -> None:
    graphs = {role: (graph.inputs, graph.outputs) for role, graph in exported.graphs.items()}
    assert graphs == {
        "encode.image": (("pixels",), ("vector",)),
        "encode.text": (("ids", "lengths"), ("vector",)),
        "fuse": (("vectors", "present"), ("embedding", "logits.shape", "logits.colour")),
    }
    for graph in exported.graphs.values():
        model = onnx.load_from_string(exported.files[graph.file])
        assert [value.name for value in model.graph.input] == list(graph.inputs)
        assert [value.name for value in model.graph.output] == list(graph.outputs)


def test_every_large_tensor_of_a_graph_lies_in_the_weights_file_where_the_graph_says(exported: Exported) -> None:
    where = places(exported.files[WEIGHTS])
    for graph in exported.graphs.values():
        model = onnx.load_from_string(exported.files[graph.file])
        outside = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        inside = [t for t in model.graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
        assert {tensor.name for tensor in outside} == set(graph.tensors)
        assert all(onnx.numpy_helper.to_array(tensor).nbytes < SHARED_BYTES for tensor in inside)
        for tensor in outside:
            entry = {part.key: part.value for part in tensor.external_data}
            assert entry["location"] == WEIGHTS
            assert (int(entry["offset"]), int(entry["length"])) == where[tensor.name]
            assert not tensor.HasField("raw_data")


def test_the_bytes_at_those_places_are_the_network_s_own_weights(network: Network, exported: Exported) -> None:
    weights = exported.files[WEIGHTS]
    state = network.state_dict()
    own = [
        name for graph in exported.graphs.values() for name in graph.tensors if not name.startswith(GRAPH_TENSORS)
    ]
    assert own
    for name, (offset, length) in places(weights).items():
        if not name.startswith(GRAPH_TENSORS):
            assert weights[offset : offset + length] == state[name].numpy().tobytes()


def test_weights_are_stored_once(network: Network, exported: Exported) -> None:
    weights = exported.files[WEIGHTS]
    large = [weights[start : start + size] for start, size in places(weights).values() if size >= SHARED_BYTES]
    large = [part for part in large if len(set(part[0::4])) > 1]  # an untrained norm's ones and zeros are alike
    assert len(large) == len(set(large))
    own = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    # What a graph needs in another order it makes of them itself. The rest of the file is names.
    assert len(weights) < own + 40_000
    assert not [name for name in places(weights) if "GRU" in name]
    assert set(places(weights)) >= set(network.state_dict())


def test_an_export_is_the_same_each_time(network: Network, exported: Exported) -> None:
    assert export_network(network, SIDE_PX).files == exported.files


def test_exporting_leaves_the_network_as_it_was(network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_network(network, SIDE_PX)
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("tokens", [1, 2, 5, 8])
def test_the_text_graph_equals_the_network_for_sizes_that_were_not_traced(
    network: Network, count: int, tokens: int
) -> None:
    rng = np.random.default_rng(count * tokens)
    lengths = rng.integers(1, tokens + 1, count)
    lengths[0] = tokens
    ids = np.where(np.arange(tokens) < lengths[:, None], rng.integers(2, 40, (count, tokens)), 0)
    engine = OnnxEngine(tiny_checkpoint())
    found = engine._encoders["text"].run({"ids": ids, "lengths": lengths})["vector"]
    with torch.inference_mode():
        expected = network.encode("text", {"ids": torch.from_numpy(ids), "lengths": torch.from_numpy(lengths)})
    np.testing.assert_allclose(found, expected.vector_nD.numpy(), rtol=0, atol=1e-4)


TARGETS = {"weight": RegressionHead(), "price": RegressionHead(uncertainty=True)}


@pytest.mark.parametrize(
    "changes",
    [
        {"fusion": "add"},
        {"text": None},
        {"image": None},
        {"classes": {}},
        {"targets": TARGETS},
        {"classes": {}, "targets": TARGETS},
    ],
    ids=["add", "image alone", "text alone", "no classes", "numbers too", "numbers alone"],
)
def test_other_networks_give_the_same_on_both_engines(changes: dict[str, object]) -> None:
    from models.nets.torch_engine import TorchEngine

    config = NetworkConfig.tiny().model_copy(update=changes)
    recipe = tiny_recipe()
    keep = {
        name: getattr(recipe.preprocessing, name) if getattr(config, name) else None for name in ("image", "text")
    }
    recipe = recipe.model_copy(
        update={"preprocessing": recipe.preprocessing.model_copy(update=keep), "network": config}
    )
    tokenizer = tiny_tokenizer() if config.text else None
    checkpoint = assemble.in_memory_checkpoint(tiny_network(config), tokenizer, recipe, {})
    engines: list[Engine] = [OnnxEngine(checkpoint), TorchEngine(checkpoint)]
    width = len(config.modalities)
    vectors = np.random.default_rng(0).standard_normal((3, width, 16)).astype(np.float32)
    one, other = (engine.fuse(EncodedArrays(vectors), np.ones((3, width), dtype=bool)) for engine in engines)
    np.testing.assert_allclose(one.embedding_BE, other.embedding_BE, rtol=0, atol=1e-4)
    assert list(one.logits) == list(other.logits) == list(config.classes)
    for head in one.logits:
        np.testing.assert_allclose(one.logits[head], other.logits[head], rtol=0, atol=1e-4)
    assert list(one.values) == list(other.values) == list(config.targets)
    assert list(one.log_variances) == list(other.log_variances) == [head for head in one.values if head == "price"]
    for found, expected in ((one.values, other.values), (one.log_variances, other.log_variances)):
        for head, values_B in found.items():
            assert values_B.shape == (3,)
            np.testing.assert_allclose(values_B, expected[head], rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", [32, 64, 100, 128, 224])
def test_the_cached_lower_half_equals_the_network_s_at_any_side(network: Network, side: int) -> None:
    encoder = network.encoders["image"]
    assert isinstance(encoder, ImageEncoder)
    pixels = np.stack([picture(seed, side, side) for seed in range(3)])
    lower_map, pooled = LowerSession(encoder, side).run(pixels)
    with torch.inference_mode():
        expected = encoder.lower(torch.from_numpy(pixels))
    np.testing.assert_allclose(lower_map, expected.map_nCHW.numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(pooled, expected.pooled_nF.numpy(), rtol=0, atol=1e-4)
