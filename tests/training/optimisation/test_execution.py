import copy

import pytest
import torch

from models.nets.encoders.image import Lower
from models.nets.network import Network
from tests.tiny import SIDE_PX, tiny_network
from training.optimisation import execution
from training.optimisation.execution import autocast, executed, number_format, scaler, upper_blocks
from training.recipe import Stage

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def lower_of(network: Network) -> Lower:
    pixels = torch.randint(0, 256, (4, SIDE_PX, SIDE_PX, 3), dtype=torch.uint8)
    with torch.no_grad():
        lower: Lower = network.encoders["image"].lower(pixels)
    return lower


def gradients(network: Network, lower: Lower, stage: Stage) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The vectors, and the gradient of their sum of squares, in training mode."""
    network.zero_grad()
    torch.manual_seed(5)
    network.train()
    with executed(network, stage):
        vectors_nD = network.encoders["image"].upper(lower).vector_nD
        vectors_nD.square().sum().backward()
    found = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    return vectors_nD.detach(), found


def calls_of_a_block(network: Network, stage: Stage) -> int:
    calls = []
    inner = next(part for part in upper_blocks(network)[0].modules() if isinstance(part, torch.nn.Conv2d))
    handle = inner.register_forward_hook(lambda *_: calls.append(1))
    gradients(network, lower_of(network), stage)
    handle.remove()
    return len(calls)


def test_activations_that_are_computed_anew_give_equal_gradients() -> None:
    network = tiny_network()
    lower = lower_of(network)
    vectors_nD, plain = gradients(network, lower, Stage(epochs=1))
    same_nD, again = gradients(network, lower, Stage(epochs=1, checkpointing=True))
    assert torch.equal(vectors_nD, same_nD)
    assert set(plain) == set(again)
    assert any(name.startswith("encoders.image.blocks.") for name in plain)
    for name, value in plain.items():
        assert torch.equal(value, again[name]), name


def test_a_block_runs_a_second_time_only_with_checkpointing() -> None:
    network = tiny_network()
    assert calls_of_a_block(network, Stage(epochs=1)) == 1
    assert calls_of_a_block(network, Stage(epochs=1, checkpointing=True)) == 2
    assert calls_of_a_block(network, Stage(epochs=1)) == 1  # the stage is over


def test_a_copy_made_within_a_stage_runs_its_own_weights() -> None:
    network = tiny_network()
    lower = lower_of(network)
    with executed(network, Stage(epochs=1, checkpointing=True)):
        average = copy.deepcopy(network).eval()
    with torch.no_grad():
        before_nD = average.encoders["image"].upper(lower).vector_nD
        for block in upper_blocks(network):
            for parameter in block.parameters():
                parameter.zero_()
        assert torch.equal(average.encoders["image"].upper(lower).vector_nD, before_nD)
        assert not torch.equal(network.eval().encoders["image"].upper(lower).vector_nD, before_nD)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_blocks_give_the_same_vectors_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_network()
    last = upper_blocks(network)[-1:]  # compiling them all takes minutes
    monkeypatch.setattr(execution, "upper_blocks", lambda _network: last)
    lower = lower_of(network)
    vectors_nD, plain = gradients(network, lower, Stage(epochs=1))
    same_nD, again = gradients(network, lower, Stage(epochs=1, compile=True))
    torch.testing.assert_close(same_nD, vectors_nD, rtol=1e-4, atol=1e-4)
    for name, value in plain.items():
        torch.testing.assert_close(again[name], value, rtol=1e-3, atol=1e-3)
    assert last[0]._compiled_call_impl is None


def test_a_network_without_images_has_no_blocks() -> None:
    config = tiny_network().config.model_copy(update={"image": None})
    assert upper_blocks(Network(config)) == []


@pytest.mark.parametrize(
    ("precision", "device", "bf16", "expected"),
    [
        ("fp32", CUDA, True, torch.float32),
        ("bf16", CPU, True, torch.bfloat16),
        ("fp16", CPU, True, torch.float16),
        ("auto", CPU, True, torch.float32),
        ("auto", CUDA, True, torch.bfloat16),
        ("auto", CUDA, False, torch.float16),
    ],
)
def test_auto_is_what_the_device_does_best(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: torch.device, bf16: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    assert number_format(precision, device) == expected


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_gives_vectors_close_to_those_of_fp32(precision: str) -> None:
    network = tiny_network()
    lower = lower_of(network)
    plain_nD = network.norms["image"](network.encoders["image"].upper(lower).vector_nD)
    with autocast(precision, CPU):
        half_nD = network.norms["image"](network.encoders["image"].upper(lower).vector_nD)
    assert half_nD.dtype == number_format(precision, CPU)
    assert torch.nn.functional.cosine_similarity(half_nD.float(), plain_nD).min() > 0.99


def test_only_fp16_scales_its_gradients() -> None:
    assert [scaler(name, CPU).is_enabled() for name in ("fp32", "bf16", "fp16")] == [False, False, True]
