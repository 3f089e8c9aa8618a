"""Whole runs on tones that stand for words.

# n recordings, T frames, V tokens"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.checkpoint import LANGUAGE_MODEL, read_checkpoint
from models.config import WORD_START, NetworkConfig
from models.errors import ConfigError, ManifestError
from models.nets.encoders import Encoded
from models.nets.network import Network
from models.predictor import Predictor, load_predictor
from models.sample import Sample
from models.transcript import Decoding
from tests.sounds import spoken, spoken_recipe, write_recordings
from tests.tiny import Recorder, write_pairs
from training import run
from training.data.recordings import Spoken
from training.recipe import Recipe
from training.setup import set_up
from training.speech import transcript_loss


def train(data: Path, recipe: Recipe, out: Path) -> Path:
    folder = run.train(recipe, run.Options(data, out / "out", out / "work"), Recorder())
    assert folder is not None
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def version(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, spoken_recipe(), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def predictor(version: Path) -> Predictor:
    return load_predictor(read_checkpoint(version))


def heard(predictor: Predictor, text: str, decoding: Decoding = Decoding()) -> Any:  # noqa: B008
    transcriber = predictor.transcriber
    assert transcriber is not None
    [found] = transcriber.transcribe([transcriber.prepare(Sample(audio=spoken(text)))], decoding)
    return found


def test_words_are_read_alone_and_in_strings_that_no_row_has(predictor: Predictor) -> None:
    for text in ("a", "b", "b a", "a b a", "b a b a"):
        assert heard(predictor, text).text == text
        assert heard(predictor, text, Decoding(num_beams=8)).text == text


def test_a_recording_is_classified_and_embedded_as_any_input(predictor: Predictor) -> None:
    examples = [predictor.prepare(Sample(audio=spoken(word))) for word in "ab"]
    low, high = predictor.predict(examples)
    labels = predictor.config.network.classes["pitch"].labels
    assert [labels[one.scores["pitch"].argmax()] for one in (low, high)] == ["low", "high"]
    assert low.modalities_used == ("audio",)
    assert float(low.embedding_E @ high.embedding_E) < 0.9


def test_the_card_shows_rates_and_pictures_of_what_was_heard(version: Path) -> None:
    metrics = json.loads((version / "metrics.json").read_text())
    figures = metrics["test"]["audio"]["transcript"]
    assert figures["rows"] == 4
    assert figures["wer"] <= 0.25
    card = (version / "MODEL_CARD.md").read_text()
    assert "### What is said" in card
    assert "word error rate" in card
    assert (version / "pictures" / "recordings.png").read_bytes().startswith(b"\x89PNG")
    assert [entry["stage"] for entry in metrics["history"]].count("audio") == 60


def test_a_recording_beside_an_image_and_a_text_trains_all_together(tmp_path: Path) -> None:
    """Some rows lack the recording, some the image."""
    path = write_pairs(tmp_path)
    write_recordings(tmp_path, 24)
    header, *lines = path.read_text().splitlines()
    rows = [
        f"{line},{'' if number % 5 == 0 else f'{number}.wav'},{'ab'[number % 2]}"
        for number, line in enumerate(lines)
    ]
    path.write_text("\n".join([f"{header},recording,word", *rows]) + "\n")
    tiny = NetworkConfig.tiny_audio().model_dump() | {"classes": {}, "transcript": {"units": "characters"}}
    recipe = spoken_recipe(
        data={
            "columns": {
                "image": "image",
                "text": "name",
                "audio": "recording",
                "transcript": "word",
                "labels": ["shape", "colour"],
                "split": "split",
            }
        },
        pretrained="none",
        preprocessing={
            "image": {"side_px": 32},
            "text": {"max_tokens": 8},
            "audio": {"rate_hz": 8_000, "num_mels": 16},
        },
        network=tiny,
        stages={"joint": {"epochs": 1, "batch_size": 8}},
    )
    predictor = load_predictor(read_checkpoint(train(path, recipe, tmp_path)))
    sample = Sample(image=np.zeros((32, 32, 3), np.uint8), text="a red star", audio=spoken("a"))
    [prediction] = predictor.predict([predictor.prepare(sample)])
    assert prediction.modalities_used == ("image", "text", "audio")
    assert predictor.transcriber is not None


@torch.no_grad()
def test_the_loss_is_of_the_known_transcripts_alone() -> None:
    torch.manual_seed(0)
    network = Network(NetworkConfig.tiny_audio()).eval()
    tokens = torch.randn(3, 9, network.encoders["audio"].token_width)  # type: ignore[arg-type]
    valid = torch.ones(3, 9, dtype=torch.bool)
    encoded = Encoded(torch.zeros(3, 16), tokens, valid)
    spoken_n = Spoken(
        torch.tensor([[2, 3], [2, 0], [3, 3]]), torch.tensor([2, 1, 2]), torch.tensor([True, True, False])
    )
    both = transcript_loss(network, encoded, spoken_n)
    singles = [
        transcript_loss(
            network,
            Encoded(torch.zeros(1, 16), tokens[[row]], valid[[row]]),
            Spoken(spoken_n.tokens_nL[[row]], spoken_n.lengths_n[[row]], torch.tensor([True])),
        )
        for row in (0, 1)
    ]
    assert both is not None
    assert float(both) == pytest.approx(sum(float(one) for one in singles if one is not None) / 2, rel=1e-5)
    nothing = spoken_n._replace(known_n=torch.zeros(3, dtype=torch.bool))
    assert transcript_loss(network, encoded, nothing) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stages": {"fusion": {"epochs": 1}}}, "nothing trains it"),
        ({"network": {"audio": {}, "width": 16}}, "data.columns and network must both have it"),
        (
            {"data": {"columns": {"audio": "recording", "labels": ["transcript"]}}, "network": {"audio": {}}},
            "named 'transcript'",
        ),
    ],
)
def test_a_recipe_that_cannot_be_followed_says_why(changes: dict[str, Any], says: str) -> None:
    values = spoken_recipe().model_dump() | changes
    with pytest.raises(ConfigError, match=says):
        Recipe.parse(values, "x")


def test_a_transcript_of_no_weight_is_refused(data: Path, tmp_path: Path) -> None:
    recipe = spoken_recipe(objective={"transcript": 0})
    assert recipe.untrained == ("transcript",)
    with pytest.raises(ConfigError, match=r"objective\.transcript = 0: nothing else trains network\.transcript"):
        train(data, recipe, tmp_path)


def test_a_recording_that_cannot_be_decoded_is_told_with_its_row(data: Path, tmp_path: Path) -> None:
    path = write_recordings(tmp_path)
    (tmp_path / "3.wav").write_bytes(b"RIFF")
    with pytest.raises(ManifestError, match=r"spoken.csv:5: 3.wav: "):
        run.check(spoken_recipe(), path, Recorder())


def test_a_language_model_goes_into_the_version_and_decides_in_beam_search(data: Path, tmp_path: Path) -> None:
    """One that has never seen an a, and thinks it a millionth as likely as a b."""
    lines = ["\\data\\", "ngram 1=5", "ngram 2=1", "", "\\1-grams:"]
    lines += ["-9\t<unk>", "-9\t<s>\t0", "-1\t</s>", f"-12\t{WORD_START}a\t0", f"-0.1\t{WORD_START}b\t0", ""]
    lines += ["\\2-grams:", f"-0.1\t{WORD_START}b {WORD_START}b", "", "\\end\\", ""]
    (tmp_path / "words.arpa").write_text("\n".join(lines), encoding="utf-8")
    one = {"epochs": 1, "batch_size": 8}
    recipe = spoken_recipe(language_model=str(tmp_path / "words.arpa"), stages={"audio": one, "fusion": one})
    version = train(data, recipe, tmp_path)
    assert LANGUAGE_MODEL in read_checkpoint(version).config.files
    predictor = load_predictor(read_checkpoint(version))
    # After one epoch all words are about as likely, so that only the model tells.
    assert "a" not in heard(predictor, "a b a", Decoding(num_beams=8)).text
    missing = spoken_recipe(language_model=str(tmp_path / "none.arpa"))
    (tmp_path / "other.arpa").write_text("words that no model was made of")
    other = spoken_recipe(language_model=str(tmp_path / "other.arpa"))
    with pytest.raises(ConfigError, match=r"other\.arpa is neither ARPA nor KenLM"):
        run.check(other, data, Recorder())
    with pytest.raises(ConfigError, match="language_model: there is no file"):
        run.check(missing, data, Recorder())


def test_a_frozen_ear_is_trained_under_from_the_bytes_to_the_transcript(data: Path, tmp_path: Path) -> None:
    # With random weights: what the package's own hear is measured in docs/speech.md.
    one = {"epochs": 1, "batch_size": 8}
    recipe = spoken_recipe(
        pretrained_audio="none",
        preprocessing={"audio": {"rate_hz": 8_000, "num_mels": 32, "bands": "speech_embedding"}},
        network={
            "width": 16,
            "audio": {"kind": "speech_embedding", "hidden": 8},
            "transcript": {"units": "words"},
            "embedding": {"dimensions": 8},
        },
        augmentation={"audio_variants": 1},
        stages={"audio": one, "fusion": one},
    )
    folder = train(data, recipe, tmp_path)
    assert list((tmp_path / "work" / "cache").glob("frames-*/index.jsonl"))
    checkpoint = read_checkpoint(folder)
    first = checkpoint.weights["encoders.audio.embedding.convolutions.0.weight"]
    again = spoken_recipe(**{**recipe.model_dump(), "start_from": str(folder)})
    network = set_up(again, run.read(again, data), tmp_path / "again", Recorder()).plan.bench.network
    embedding = network.encoders["audio"].get_submodule("embedding.convolutions.0")
    assert np.array_equal(embedding.state_dict()["weight"].numpy(), first)
    assert heard(load_predictor(checkpoint, engine="onnx"), "a b").words is not None


def test_an_encoder_of_recordings_is_not_started_on_other_features(
    version: Path, data: Path, tmp_path: Path
) -> None:
    recipe = spoken_recipe(start_from=str(version), preprocessing={"audio": {"rate_hz": 16_000, "num_mels": 16}})
    with pytest.raises(ConfigError, match=r"preprocessing\.audio is not the recipe's.*'rate_hz': 8000"):
        set_up(recipe, run.read(recipe, data), tmp_path, Recorder())
