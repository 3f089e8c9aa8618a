import weakref

import numpy as np
import pytest
import torch

from models.allocation import within_memory
from models.batch import Batch
from models.errors import EngineMemoryError
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from tests.tiny import picture, tiny_checkpoint

# As ONNX Runtime 1.32 and torch 2.14 said it under a limit on the address space.
ONNX_RUNTIME = (
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Sub node. Name:'/image/Sub' "
    "Status Message: bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, "
    "onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 38535168"
)
TORCH_CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 38535168 bytes. Error code 12 (Cannot allocate memory)"
)


class Array(np.ndarray):
    """An array that a weak reference can follow."""


def raises(error: Exception) -> object:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((2**40,), np.dtype("f4")),
        RuntimeError(ONNX_RUNTIME),
        RuntimeError(TORCH_CPU),
        RuntimeError("std::bad_alloc"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_every_library_s_complaint_becomes_one_error(error: Exception) -> None:
    with pytest.raises(EngineMemoryError, match="Fewer items at once may fit") as caught:
        within_memory(lambda: raises(error))
    assert isinstance(caught.value, MemoryError)  # what a batcher halves on


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match=r"^poisoned$"):
        within_memory(lambda: raises(RuntimeError("poisoned")), also=torch.OutOfMemoryError)


def test_torch_s_own_class_counts_whatever_it_says() -> None:
    with pytest.raises(EngineMemoryError):
        within_memory(lambda: raises(torch.OutOfMemoryError("")), also=torch.OutOfMemoryError)


def test_what_the_work_held_is_free_when_it_is_released() -> None:
    held: list[weakref.ref[Array]] = []
    alive: list[bool] = []

    def work() -> None:
        large = np.zeros(1000).view(Array)
        held.append(weakref.ref(large))
        raise MemoryError

    with pytest.raises(EngineMemoryError) as caught:
        within_memory(work, release=lambda: alive.append(held[0]() is not None))
    assert alive == [False]
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.fixture(params=["onnx", "torch"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    return load_predictor(tiny_checkpoint(), engine=request.param)


@pytest.mark.parametrize("stage", ["encode", "fuse"])
def test_an_engine_without_memory_says_so_and_goes_on(
    predictor: Predictor, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = predictor.engine
    examples = [predictor.prepare(Sample(image=picture(0), text="a red star"))]
    before = predictor.predict(examples)
    if engine.name == "onnx":
        session = engine._encoders["image"] if stage == "encode" else engine._fuse  # type: ignore[attr-defined]
        owner, name, error = type(session), "run", RuntimeError(ONNX_RUNTIME)
    else:
        owner, name = engine._network, "normalise" if stage == "encode" else "fuse"  # type: ignore[attr-defined]
        error: Exception = torch.OutOfMemoryError("CUDA out of memory")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, lambda *_: raises(error))
        with pytest.raises(EngineMemoryError):
            predictor.predict(examples)
    np.testing.assert_array_equal(predictor.predict(examples)[0].embedding_E, before[0].embedding_E)


def test_an_array_that_numpy_cannot_make_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = load_predictor(tiny_checkpoint(), engine="onnx")
    batch: Batch = onnx.preprocessors.collate([onnx.prepare(Sample(text="a"))])
    monkeypatch.setattr("models.onnx_engine.scatter", lambda *_: np.zeros(2**57))
    with pytest.raises(EngineMemoryError, match="EiB"):
        onnx.engine.encode(batch)
