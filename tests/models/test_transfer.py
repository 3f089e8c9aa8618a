import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from models.nets.torch_engine import TorchEngine
from models.nets.transfer import Transfer
from models.predictor import Predictor
from models.preprocess import Preprocessors
from models.sample import Sample
from tests.tiny import picture, tiny_checkpoint

CPU = Transfer(torch.device("cpu"))


def test_arrays_go_up_in_their_own_type_and_order() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for array in (pixels, pixels.transpose(2, 0, 1), np.array([True, False]), np.arange(3)):
        tensor = CPU.upload(array)
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert tensor.numpy().dtype == array.dtype
        assert tensor.is_contiguous()


def test_tensors_come_down_in_order_with_their_shapes_as_float32() -> None:
    tensors = [
        torch.tensor([[1.5, 2.0], [3.0, 4.0]], dtype=torch.float16),
        torch.zeros(2, 0),
        torch.tensor([5.0, 6.0], dtype=torch.bfloat16),
        torch.tensor([[7.0]]),
        torch.tensor([True, False]),
    ]
    arrays = CPU.download(tensors)
    assert [array.tolist() for array in arrays] == [
        [[1.5, 2.0], [3.0, 4.0]],
        [[], []],
        [5.0, 6.0],
        [[7.0]],
        [1.0, 0.0],
    ]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


def test_what_came_down_does_not_change_with_its_tensor() -> None:
    tensor = torch.ones(2)
    [array] = CPU.download([tensor])
    tensor.zero_()
    assert array.tolist() == [1.0, 1.0]


def test_work_on_a_device_is_inference() -> None:
    with CPU.on(CPU.stream()):
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a card is asked for, in order, while a CPU does the work."""
    asked: list[str] = []
    current = threading.local()
    empty = torch.empty

    class Stream:
        """Nothing but itself."""

    class Event:
        def __init__(self, *, blocking: bool) -> None:
            assert blocking

        def record(self) -> None:
            assert isinstance(current.stream, Stream)

        def synchronize(self) -> None:
            asked.append("wait")

    @contextmanager
    def on(stream: object) -> Iterator[None]:
        current.stream = stream
        yield
        current.stream = None

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        assert isinstance(current.stream, Stream), "a copy outside of its thread's stream"
        asked.append(f"up {tensor.dtype}".replace("torch.", ""))
        return tensor

    def pinned(*shape: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        if pin_memory:
            asked.append("down")
        return empty(*shape, **options)

    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: Stream())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch, "empty", pinned)
    return asked


def predictor(*, as_card: bool) -> Predictor:
    checkpoint = tiny_checkpoint()
    engine = TorchEngine(checkpoint)
    engine._transfer._is_card = as_card
    return Predictor(
        checkpoint.config, Preprocessors(checkpoint.config.preprocessing, checkpoint.tokenizer), engine
    )


def test_a_pass_waits_once_and_pixels_cross_in_uint8(asked: list[str]) -> None:
    card, cpu = predictor(as_card=True), predictor(as_card=False)
    examples = [card.prepare(Sample(image=picture(0), text="a red star")), card.prepare(Sample(text="a"))]
    batch = card.preprocessors.collate(examples)
    encoded = card.engine.encode(batch)
    up = [*["up int64"] * 2, "up uint8", *["up int64"] * 2]  # texts, images, the rows of both
    assert asked == up
    embedding_BE = card.engine.fuse(encoded, batch.present_BM).embedding_BE
    assert asked == [*up, "up bool", "down", "wait"]
    for found_E, expected in zip(embedding_BE, cpu.predict(examples), strict=True):
        np.testing.assert_array_equal(found_E, expected.embedding_E)


def test_several_subsets_of_a_batch_cross_once(asked: list[str]) -> None:
    card = predictor(as_card=True)
    card.embed_targets([card.prepare(Sample(image=picture(0), text="a red star"))] * 2)
    assert asked.count("up uint8") == 1
    assert asked.count("wait") == 3  # fused, by image, by text


def test_each_thread_has_a_stream_and_what_it_made_stays_on_it(asked: list[str]) -> None:
    card = predictor(as_card=True)
    batch = card.preprocessors.collate([card.prepare(Sample(text="a"))])
    encoded = [card.engine.encode(batch), card.engine.encode(batch)]
    thread = threading.Thread(target=lambda: encoded.append(card.engine.encode(batch)))
    thread.start()
    thread.join()
    mine, also_mine, other = (one.stream for one in encoded)  # type: ignore[attr-defined]
    assert mine is also_mine is not other
    taken = encoded[2].take(np.array([0]))
    assert taken.stream is other  # type: ignore[attr-defined]
    card.engine.fuse(taken, batch.present_BM)
    assert asked[-1] == "wait"
