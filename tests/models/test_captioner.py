"""Texts by the captioner: the same whoever else is written about, by either engine, and as they were asked for."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batch import Example
from models.caption import Caption, Writing
from models.captioner import Captioner
from models.checkpoint import Checkpoint
from models.config import NetworkConfig
from models.errors import InputError
from models.lines import Beams, Line, Plan
from models.nets.torch_engine import TorchEngine
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from tests.tiny import picture, tiny_checkpoint, tiny_network, tiny_recipe, tiny_tokenizer
from training import assemble

COLUMNS = {"image": "image", "text": "name", "caption": "title", "labels": ["shape", "colour"]}


@functools.cache
def checkpoint(**changes: object) -> Checkpoint:
    config = NetworkConfig.tiny_caption(**changes)
    network = tiny_network(config, seed=3)
    with torch.no_grad():
        # Untrained, it would write the same whatever it looks at.
        pixels = torch.from_numpy(np.stack([picture(number) for number in range(6)]))
        seen_nTW, _ = network.details({"image": network.encoders["image"](pixels)})["image"]
        network.caption.standardise("image", seen_nTW.flatten(0, 1))
        network.caption.positions.weight.mul_(5)
        for layer in network.caption.layers:
            layer.cross_memory.weight.mul_(3)
            layer.cross_out.weight.mul_(6)
    return assemble.in_memory_checkpoint(
        network, tiny_tokenizer(), tiny_recipe(network=config, data={"columns": COLUMNS}), {}
    )


@functools.cache
def predictor(engine: str = "onnx", **changes: object) -> Predictor:
    return load_predictor(checkpoint(**changes), engine=engine)


def captioner(engine: str = "onnx", **changes: object) -> Captioner:
    found = predictor(engine, **changes).captioner
    assert found is not None
    return found


@functools.cache
def examples(count: int = 6) -> list[Example]:
    return [predictor().prepare(Sample(image=picture(number))) for number in range(count)]


def write(number: int = 0, prompt: str = "", engine: str = "onnx", **options: object) -> Caption:
    return captioner(engine).caption([examples()[number]], [Writing(**options)], [prompt])[0]


WRITINGS = (
    Writing(),
    Writing(num_beams=3),
    Writing(temperature=1.0, seed=7),
    Writing(max_tokens=2),
    Writing(num_beams=2, no_repeat_ngram=0, length_penalty=0.0),
    Writing(temperature=2.0, top_p=0.5, seed=1, no_repeat_ngram=1),
)
PROMPTS = ("", "a red", "one large red star", "blue")


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(WRITINGS), st.sampled_from(PROMPTS)), min_size=1, max_size=5
    )
)
def test_texts_written_together_equal_those_written_alone(rows: Any) -> None:
    items, writings, prompts = (list(part) for part in zip(*rows, strict=True))
    together = captioner().caption([examples()[item] for item in items], writings, prompts)
    for item, writing, prompt, found in zip(items, writings, prompts, together, strict=True):
        (alone,) = captioner().caption([examples()[item]], [writing], [prompt])
        assert (found.text, found.num_tokens, found.finish_reason) == (
            alone.text,
            alone.num_tokens,
            alone.finish_reason,
        )
        assert found.score == pytest.approx(alone.score, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(item=st.integers(0, 5), writing=st.sampled_from(WRITINGS), prompt=st.sampled_from(PROMPTS))
def test_engines_write_the_same(item: Any, writing: Any, prompt: Any) -> None:
    example = [examples()[item]]
    (onnx,), (eager,) = (captioner(engine).caption(example, [writing], [prompt]) for engine in ("onnx", "torch"))
    assert onnx.text == eager.text
    assert onnx.score == pytest.approx(eager.score, abs=1e-4)


def test_another_image_gets_another_text() -> None:
    texts = {write(number).text for number in range(6)}
    assert len(texts) > 1


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_steps_equal_the_whole_pass(engine: str) -> None:
    network = predictor("torch").engine
    assert isinstance(network, TorchEngine)
    decoder = network._network.caption
    runner = predictor(engine)
    encoded = runner.engine.encode(runner.preprocessors.collate(examples()))
    ids = np.random.default_rng(0).integers(0, decoder.num_tokens, (6, 9))
    details = {
        name: (torch.from_numpy(part.values_BTD), torch.from_numpy(part.valid_BT))
        for name, part in encoded.details.items()
    }
    with torch.no_grad():
        whole = decoder(torch.from_numpy(ids), decoder.remember(details)).log_softmax(2).numpy()
    texts = runner.engine.begin(encoded)
    for part, place in ((ids[:, :3], 2), (ids[:, 3:4], 3), (ids[:, 4:8], 7), (ids[:, 8:], 8)):
        found, texts = runner.engine.write(texts, part)
        np.testing.assert_allclose(found, whole[:, place], atol=2e-4)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_texts_that_are_taken_again_go_on_alike(engine: str) -> None:
    runner = predictor(engine)
    encoded = runner.engine.encode(runner.preprocessors.collate(examples()[:2]))
    _, texts = runner.engine.write(runner.engine.begin(encoded), np.array([[0], [0]]))
    kept = texts.take(np.array([1, 0, 1]))
    assert len(kept) == 3
    found, kept = runner.engine.write(kept, np.array([[4], [5], [4]]))
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)
    single, _ = runner.engine.write(texts, np.array([[5], [4]]))
    np.testing.assert_allclose(single[[1, 0]], found[:2], atol=1e-5)


def test_texts_of_one_item_ask_one_memory() -> None:
    decoder = tiny_network(NetworkConfig.tiny_caption()).caption
    tokens, ids = torch.randn(2, 4, decoder.width_of("image")), torch.randint(0, 20, (6, 5))
    valid = torch.ones(2, 4, dtype=torch.bool)
    shared = decoder(ids, decoder.remember({"image": (tokens, valid)}))
    repeated = {"image": (tokens.repeat_interleave(3, 0), valid.repeat_interleave(3, 0))}
    torch.testing.assert_close(shared, decoder(ids, decoder.remember(repeated)))


def test_places_that_are_not_used_change_nothing() -> None:
    decoder = tiny_network(NetworkConfig.tiny_caption()).caption
    tokens, ids = torch.randn(2, 4, decoder.width_of("image")), torch.randint(0, 20, (6, 5))
    memory = decoder.remember({"image": (tokens, torch.ones(2, 4, dtype=torch.bool))})
    used = torch.arange(5) < torch.tensor([[5], [1], [3], [2], [4], [0]])
    torch.testing.assert_close(decoder.read(ids, memory, used), decoder.read(ids, memory)[used])


def test_what_is_not_there_does_not_matter() -> None:
    decoder = tiny_network(NetworkConfig.tiny_caption()).caption
    ids, width = torch.randint(0, 20, (1, 5)), decoder.width_of("image")
    valid = torch.tensor([[True, False, False]])
    one, other = (
        decoder(ids, decoder.remember({"image": (torch.cat([torch.ones(1, 1, width), rest], 1), valid)}))
        for rest in (torch.zeros(1, 2, width), torch.randn(1, 2, width) * 100)
    )
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_an_item_without_image_is_written_about_as_if_alone(engine: str) -> None:
    """Its memory is empty, whoever stands beside it."""
    blind = captioner(engine, blind=0.1)
    nothing = Example({})
    (alone,) = blind.caption([nothing], [Writing()], ["a red"])
    beside = blind.caption([examples()[0], nothing, examples()[1]], [Writing()] * 3, ["a red"] * 3)
    assert beside[1].text == alone.text
    assert beside[1].score == pytest.approx(alone.score, abs=1e-4)


def test_a_head_that_was_never_blind_needs_its_input() -> None:
    with pytest.raises(InputError, match="image: there is nothing to write about") as error:
        captioner().caption([Example({})], [Writing()], ["a red"])
    assert error.value.field == "image"


def test_one_beam_is_greedy() -> None:
    # The class itself: a writing with one beam takes a Line.
    writer = captioner()
    for number in range(4):
        encoded = predictor().engine.encode(predictor().preprocessors.collate([examples()[number]]))
        found = []
        for kind in (Line, Beams):
            plan = Plan(
                writing=Writing(), max_tokens=12, length_penalty=0.8, no_repeat_ngram=3, prompt="", numbers=()
            )
            text, held = kind(writer._subwords, plan), predictor().engine.begin(encoded)
            log_probs, held = predictor().engine.write(held, np.array([[0]]))
            while (move := text.advance(log_probs)) is not None:
                log_probs, held = predictor().engine.write(held, np.array([move.numbers]))
            found.append(text.caption())
        assert found[0].text == found[1].text
        assert found[0].score == pytest.approx(found[1].score, abs=1e-6)


def test_beams_never_end_below_greedy_without_penalty() -> None:
    for number in range(6):
        greedy = write(number, length_penalty=0.0)
        beams = write(number, num_beams=16, length_penalty=0.0)
        assert beams.score * beams.num_tokens >= greedy.score * greedy.num_tokens - 1e-4


def test_a_seed_writes_the_same_again_and_another_does_not() -> None:
    drawn = [write(temperature=3.0, seed=seed).text for seed in (1, 1, *range(2, 8))]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 2


def test_a_tiny_nucleus_is_greedy() -> None:
    assert write(temperature=1.0, top_p=1e-6, seed=5).text == write().text


def test_no_run_is_written_twice() -> None:
    for number in range(6):
        pieces = write(number, no_repeat_ngram=1, max_tokens=12).text.split()
        assert len(pieces) == len(set(pieces))


def test_a_stop_string_ends_the_text_before_it() -> None:
    text = write().text
    stop = text[len(text) // 2 : len(text) // 2 + 2]
    for beams in (1, 3):
        whole = write(num_beams=beams).text
        cut = write(num_beams=beams, stop=(stop,))
        assert stop not in cut.text
        assert stop not in whole or cut.finish_reason == "stop"
    assert write(stop=(stop,)).text == text[: text.find(stop)]


def test_a_text_that_may_not_grow_ends_for_its_length() -> None:
    found = write(max_tokens=2)
    assert (found.num_tokens, found.finish_reason) == (2, "length")
    assert write().text.startswith(found.text)


@settings(max_examples=20, deadline=None)
@given(
    number=st.integers(0, 5),
    beams=st.sampled_from([1, 3]),
    stop=st.lists(st.text(alphabet="abcdelrstu ", min_size=1, max_size=4), max_size=3),
)
def test_pieces_together_are_the_text(number: Any, beams: Any, stop: Any) -> None:
    pieces: list[str] = []

    def told(piece: str) -> bool:
        pieces.append(piece)
        return True

    writing = Writing(num_beams=beams, stop=tuple(stop))
    (found,) = captioner().caption([examples()[number]], [writing], [""], [told])
    assert "".join(pieces) == found.text
    assert all(pieces)
    assert not any(part in found.text for part in stop)


def test_a_text_that_nobody_wants_leaves_and_its_neighbours_go_on() -> None:
    pieces: list[str] = []

    def told(piece: str) -> bool:
        pieces.append(piece)
        return len(pieces) < 2

    cancelled, other = captioner().caption(examples()[:2], [Writing(), Writing()], ["", ""], [told, None])
    assert cancelled.finish_reason == "cancelled"
    assert cancelled.text == "".join(pieces)
    assert len(pieces) == 2
    assert other.text == write(1).text


def test_a_prompt_is_gone_on_with() -> None:
    """The beginning of a text, where it is spelt as the network wrote it, is followed by the rest."""
    whole = write(no_repeat_ngram=0, max_tokens=8)
    rests = [write(prompt=whole.text[:end], no_repeat_ngram=0, max_tokens=8 - end) for end in range(1, 6)]
    assert any(whole.text[:end] + rest.text == whole.text for end, rest in enumerate(rests, 1))


def test_a_prompt_that_fills_the_text_is_refused() -> None:
    with pytest.raises(InputError, match="text: 12 subwords leave no room") as error:
        write(prompt="red " * 12)
    assert error.value.field == "text"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"num_beams": 17}, "num_beams"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": 1.0, "num_beams": 2}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"length_penalty": float("inf")}, "length_penalty"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram"),
    ],
)
def test_what_cannot_be_followed_is_named(options: Any, field: str) -> None:
    with pytest.raises(InputError) as error:
        write(**options)
    assert error.value.field == field


def test_a_pass_that_is_done_is_gone_on_from() -> None:
    runner = predictor()
    predictions, _, encoded = runner.predict_encoded(examples())
    found = captioner().caption(examples(), [Writing()] * 6, encoded=encoded)
    assert [part.text for part in found] == [write(number).text for number in range(6)]
    assert predictions[0].modalities_used == ("image",)


def test_details_travel_between_engines() -> None:
    encoded = predictor("onnx").engine.encode(predictor().preprocessors.collate(examples()))
    found = captioner("torch").caption(examples(), [Writing()] * 6, encoded=encoded)
    assert [part.text for part in found] == [write(number).text for number in range(6)]


def test_a_text_may_be_looked_at_too() -> None:
    reads = ("image", "text")
    both = predictor(reads=reads).prepare(Sample(image=picture(0), text="a red star"))
    other = predictor(reads=reads).prepare(Sample(image=picture(0), text="one large blue circle"))
    alone = predictor(reads=reads).prepare(Sample(text="a red star"))
    rows = [both, other, alone]
    onnx, eager = (captioner(engine, reads=reads).caption(rows, [Writing()] * 3) for engine in ("onnx", "torch"))
    assert [part.text for part in onnx] == [part.text for part in eager]
    scores = [part.score for part in onnx]
    assert len(set(scores)) == 3
    for row, found in zip(rows, onnx, strict=True):
        (single,) = captioner(reads=reads).caption([row], [Writing()])
        assert single.text == found.text


def test_a_network_without_a_caption_has_no_captioner() -> None:
    assert load_predictor(tiny_checkpoint()).captioner is None


def test_nothing_to_write_about_is_no_text() -> None:
    assert captioner().caption([], []) == []
