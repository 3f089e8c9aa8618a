import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.config import NetworkConfig
from models.nets import compiled
from models.nets.compiled import CompiledImageEncoder
from models.nets.encoders import Encoded
from models.nets.encoders.image import ImageEncoder
from models.nets.precision import autocast
from tests.tiny import SIDE_PX, picture, tiny_network

CPU = torch.device("cpu")
SIZES = (1, 2, 4)
SMALL = {"backbone": "small_cnn", "frozen_blocks": 0, "colour_bins": 0, "hidden": 0}


class CountingCompiler:
    """torch.compile as far as a graph without breaks, which then runs as it is; counts what it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, encoder: ImageEncoder, **options: Any) -> Callable[[Tensor], Encoded]:
        return torch.compile(encoder, backend=self._backend, **options)  # type: ignore[return-value]

    def _backend(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        self.shapes.append(next(tuple(part.shape) for part in inputs if part.dtype == torch.uint8))
        return graph.forward


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiled, "SIZES", SIZES)
    yield
    torch._dynamo.reset()


def small_encoder(seed: int = 0) -> ImageEncoder:
    """Three convolutions: the fewer there are, the sooner they are compiled."""
    image = NetworkConfig.tiny().model_dump()["image"]
    config = NetworkConfig.parse({**NetworkConfig.tiny().model_dump(), "image": {**image, **SMALL}}, "x")
    return tiny_network(config, seed).encoders["image"]  # type: ignore[return-value]


@pytest.fixture
def encoder() -> ImageEncoder:
    return small_encoder()


def blank(size: int) -> Tensor:
    return torch.zeros(size, SIDE_PX, SIDE_PX, 3, dtype=torch.uint8)


def pixels(count: int) -> Tensor:
    return torch.from_numpy(np.stack([picture(seed) for seed in range(count)]))


def assert_same(found: Encoded, expected: Encoded) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_padded_and_parted_batches_equal_those_as_they_are(encoder: ImageEncoder) -> None:
    compiler = CountingCompiler()
    wrapped = CompiledImageEncoder(encoder, compiler)
    wrapped.warm_up(blank, torch.inference_mode)
    assert wrapped.ready == SIZES
    for count in (1, 2, 3, 4, 5, 9):
        with torch.inference_mode():
            assert_same(wrapped(pixels(count)), encoder(pixels(count)))
    assert [shape[0] for shape in compiler.shapes] == list(SIZES)


def test_nothing_is_compiled_once_it_is_warm_in_any_thread(encoder: ImageEncoder) -> None:
    compiler = CountingCompiler()
    wrapped = CompiledImageEncoder(encoder, compiler)
    within = lambda: autocast(torch.bfloat16, CPU)  # noqa: E731
    wrapped.warm_up(blank, within)
    before = len(compiler.shapes)
    found: list[Encoded] = []

    def work() -> None:
        with within():
            found.extend(wrapped(pixels(count)) for count in (3, 1, 7, 4))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(compiler.shapes) == before == len(SIZES)


def test_two_encoders_are_compiled_apart() -> None:
    compiler = CountingCompiler()
    for seed in range(3):  # 9 graphs; torch gives a function up after 8
        wrapped = CompiledImageEncoder(small_encoder(seed), compiler)
        wrapped.warm_up(blank, torch.inference_mode)
        assert wrapped.ready == SIZES
    assert len(compiler.shapes) == 9


def test_batches_run_as_they_are_until_their_size_is_ready(encoder: ImageEncoder) -> None:
    wrapped = CompiledImageEncoder(encoder, lambda *_args, **_options: pytest.fail("compiled"))
    with torch.inference_mode():
        assert_same(wrapped(pixels(5)), encoder(pixels(5)))
    assert wrapped.ready == ()


def test_an_encoder_that_cannot_be_compiled_serves_all_the_same(
    encoder: ImageEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = []

    def no_compiler(encoder: ImageEncoder, **options: Any) -> Callable[[Tensor], Encoded]:
        def run(given: Tensor) -> Encoded:
            sizes.append(len(given))
            if len(given) > 1:
                raise RuntimeError("Failed to find C compiler")
            return encoder(given)  # type: ignore[no-any-return]

        return run

    wrapped = CompiledImageEncoder(encoder, no_compiler)
    with caplog.at_level(logging.INFO):
        wrapped.warm_up(blank, torch.inference_mode)
    assert sizes == [1, 2]
    assert wrapped.ready == (1,)
    assert "Failed to find C compiler" in caplog.records[-1].getMessage()
    with torch.inference_mode():
        assert_same(wrapped(pixels(3)), encoder(pixels(3)))
