"""What the torch engine does beyond agreeing with ONNX Runtime: half precision, threads, what stays."""

import threading
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from models.checkpoint import Checkpoint, read_checkpoint
from models.config import NetworkConfig
from models.decode import decode_image
from models.engine import Encoded
from models.errors import EngineError
from models.nets import compiled
from models.nets.precision import choose, hold_weights
from models.nets.torch_engine import TorchEngine
from models.onnx_engine import OnnxEngine
from models.predictor import Prediction, Predictor, load_predictor
from models.preprocess import Preprocessors
from models.sample import Sample
from tests.tiny import ROOT, TEXTS, picture, tiny_checkpoint, tiny_network, tiny_recipe, tiny_tokenizer
from training import assemble

SAMPLES = [
    Sample(image=picture(0, 40, 50), text=TEXTS[0]),
    Sample(text="a"),
    Sample(image=picture(1, 50, 40)),
    Sample(text=TEXTS[5]),
]
TRANSFORMER = {"kind": "transformer", "vocab_size": 64, "hidden": 8, "layers": 2, "heads": 2, "feedforward": 16}


def checkpoint_of(**changes: Any) -> Checkpoint:
    config = NetworkConfig.parse({**NetworkConfig.tiny().model_dump(), **changes}, "x")
    return assemble.in_memory_checkpoint(tiny_network(config), tiny_tokenizer(), tiny_recipe(network=config), {})


def predictor_of(checkpoint: Checkpoint, **options: Any) -> Predictor:
    preprocessors = Preprocessors(checkpoint.config.preprocessing, checkpoint.tokenizer)
    return Predictor(checkpoint.config, preprocessors, TorchEngine(checkpoint, **options))


def predict(predictor: Predictor, samples: Sequence[Sample] = SAMPLES) -> list[Prediction]:
    return predictor.predict([predictor.prepare(sample) for sample in samples])


def assert_half_parity(found: Sequence[Prediction], expected: Sequence[Prediction]) -> None:
    """Scores within 0.02, cosines of 0.999 or more. The share of equal top-1 is for benchmarks/gpu.py."""
    for one, other in zip(found, expected, strict=True):
        assert one.embedding_E @ other.embedding_E >= 0.999
        for head, scores in one.scores.items():
            np.testing.assert_allclose(scores, other.scores[head], rtol=0, atol=0.02)


@pytest.mark.parametrize("fusion", ["gated", "cross_attention"])
@pytest.mark.parametrize("text", [{}, {"text": TRANSFORMER}], ids=["gru", "transformer"])
def test_half_precision_keeps_its_promise(fusion: str, text: dict[str, Any]) -> None:
    checkpoint = checkpoint_of(fusion=fusion, **text)
    whole, half = predict(predictor_of(checkpoint)), predict(predictor_of(checkpoint, precision="float16"))
    assert_half_parity(half, whole)
    assert any((one.embedding_E != other.embedding_E).any() for one, other in zip(half, whole, strict=True))


@pytest.mark.slow
def test_half_precision_keeps_its_promise_for_the_shipped_model() -> None:
    checkpoint = read_checkpoint(ROOT / "checkpoints/fashion/2")
    with zipfile.ZipFile(checkpoint.path / "gallery/thumbnails.zip") as archive:
        images = [decode_image(archive.read(name), side_px=224) for name in archive.namelist()[:6]]
    texts = ["Puma Men Black Sports Shoes", "red silk saree", None, "a", None, "Titan women's silver watch"]
    samples = [Sample(image=image, text=text) for image, text in zip(images, texts, strict=True)]
    samples += [Sample(text=text) for text in texts if text]
    onnx = load_predictor(checkpoint, engine="onnx")
    half, whole = predict(predictor_of(checkpoint, precision="float16"), samples), predict(onnx, samples)
    assert_half_parity(half, whole)
    for one, other in zip(half, whole, strict=True):
        assert {head: scores.argmax() for head, scores in one.scores.items()} == {
            head: scores.argmax() for head, scores in other.scores.items()
        }


def test_encoders_hold_matrices_in_half_and_all_else_stays_as_it_was() -> None:
    network = tiny_network()
    hold_weights(network, torch.float16)
    types = {name: parameter.dtype for name, parameter in network.named_parameters()}
    assert types["encoders.image.project.1.weight"] == types["encoders.text.gru.weight_ih_l0"] == torch.float16
    whole = [name for name, dtype in types.items() if dtype == torch.float32]
    assert {"fusion.gate.weight", "norms.image.weight", "encoders.text.embedding.weight"} <= set(whole)
    assert {name.split(".")[0] for name, dtype in types.items() if dtype == torch.float16} == {"encoders"}


def test_half_is_float16_on_a_card_and_a_cpu_stays_whole() -> None:
    assert choose("auto", torch.device("cuda")) == torch.float16
    assert choose("auto", torch.device("cpu")) == torch.float32
    assert choose("bfloat16", torch.device("cuda")) == torch.bfloat16
    with pytest.raises(EngineError, match="'int8': choose one of auto, float32, float16, bfloat16"):
        TorchEngine(tiny_checkpoint(), precision="int8")  # type: ignore[arg-type]


def test_numbers_too_large_for_half_are_an_error_and_no_answer() -> None:
    predictor = predictor_of(tiny_checkpoint(), precision="float16")
    sample = predictor.prepare(SAMPLES[0])
    predictor.predict([sample])
    with torch.no_grad():
        predictor.engine._network.encoders["image"].project[1].weight.fill_(6e4)  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match=r"too large for torch.float16\. Use INTERMODAL_ENGINE=onnx"):
        predictor.predict([sample])


@pytest.mark.parametrize("samples", [SAMPLES, SAMPLES[1::2], SAMPLES[2:3]], ids=["mixed", "texts", "an image"])
def test_either_engine_fuses_what_the_other_encoded(samples: list[Sample]) -> None:
    checkpoint = checkpoint_of(fusion="cross_attention")
    onnx, torch_engine = OnnxEngine(checkpoint), TorchEngine(checkpoint)
    predictor = predictor_of(checkpoint)
    batch = predictor.preprocessors.collate([predictor.prepare(sample) for sample in samples])
    encoded: list[Encoded] = [onnx.encode(batch), torch_engine.encode(batch)]
    assert list(encoded[0].tokens) == list(encoded[1].tokens) == ["image", "text"]
    for name, tokens in encoded[0].tokens.items():
        np.testing.assert_array_equal(tokens.valid_BT, encoded[1].tokens[name].valid_BT)
        np.testing.assert_allclose(tokens.values_BTD, encoded[1].tokens[name].values_BTD, rtol=0, atol=1e-4)
    outputs = [engine.fuse(part, batch.present_BM) for engine in (onnx, torch_engine) for part in encoded]
    for output in outputs[1:]:
        np.testing.assert_allclose(output.embedding_BE, outputs[0].embedding_BE, rtol=0, atol=1e-4)


@pytest.mark.parametrize("fusion", ["gated", "cross_attention"])
def test_items_taken_from_a_batch_are_those_items(fusion: str) -> None:
    predictor = predictor_of(checkpoint_of(fusion=fusion))
    engine, examples = predictor.engine, [predictor.prepare(sample) for sample in SAMPLES]
    batch = predictor.preprocessors.collate(examples)
    rows = np.array([2, 0])
    taken = engine.fuse(engine.encode(batch).take(rows), batch.present_BM[rows])
    for row, found_E in zip(rows, taken.embedding_BE, strict=True):
        np.testing.assert_allclose(found_E, predictor.predict([examples[row]])[0].embedding_E, rtol=0, atol=1e-5)


def test_threads_do_not_disturb_one_another() -> None:
    predictor = predictor_of(tiny_checkpoint())
    expected = [predict(predictor, [sample])[0].embedding_E for sample in SAMPLES]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            [found] = predict(predictor, [SAMPLES[number]])
            if np.abs(found.embedding_E - expected[number]).max() > 1e-5:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_compiled_engine_answers_at_once_and_the_same_when_it_is_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    used: list[int] = []

    def slow_compiler(encoder: Any, **_options: Any) -> Any:
        go.wait(20)

        def run(pixels: torch.Tensor) -> Any:
            used.append(len(pixels))
            return encoder(pixels)

        return run

    monkeypatch.setattr(compiled, "SIZES", (1, 2))
    monkeypatch.setattr(compiled.CompiledImageEncoder.__init__, "__defaults__", (slow_compiler,))
    checkpoint = checkpoint_of(image={**NetworkConfig.tiny().model_dump()["image"], "backbone": "small_cnn"})
    predictor = predictor_of(checkpoint, compiled=True)
    cold = predict(predictor)
    assert not used
    go.set()
    assert predictor.engine.wait_until_compiled() == (1, 2)  # type: ignore[attr-defined]
    before = len(used)
    assert before == 2
    for one, other in zip(cold, predict(predictor), strict=True):
        np.testing.assert_allclose(one.embedding_E, other.embedding_E, rtol=0, atol=1e-5)
    assert len(used) > before
