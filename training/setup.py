"""From a recipe and its pairs to what the stages work on: network, weights, subwords, caches."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from models.checkpoint import Checkpoint
from models.config import CtcHead, MiniLmTextEncoder, NetworkConfig
from models.errors import ManifestError
from models.nets.encoders.audio import AudioEncoder, AudioFeatures, SpeechEmbeddingAudioEncoder
from models.nets.encoders.image import ImageEncoder, Lower
from models.nets.encoders.text import TextLower, TransformerTextEncoder
from models.nets.network import Network
from models.preprocess import Preprocessors
from models.preprocess.text import UNKNOWN
from models.spoken_text import encode_transcript
from training.captions import caption_head, spell_captions
from training.data.batches import BatchSource, Ids
from training.data.frame_store import FrameStore
from training.data.image_cache import LowerCache, open_lower_cache
from training.data.pairs import Pairs, prepare_pixels, prepare_texts
from training.data.readings import SensorRows, find_channels
from training.data.recordings import Recordings
from training.data.text_cache import StateCache, open_state_cache
from training.data.tokenizer import train_tokenizer
from training.data.tokens import learn_tokens
from training.data.truth import Truth, class_balance, find_heads
from training.optimisation import distributed
from training.optimisation.loop import Progress
from training.plan import Plan
from training.pretrained import load_backbone, load_minilm, load_speech_embedding, minilm_tokenizer
from training.recipe import Recipe
from training.start import kept_heads, read_start, take_over
from training.word_vectors import load_word_vectors
from training.workbench import Workbench

STATISTICS_ITEMS = 1_024  # enough for a mean and a deviation of each feature
_STATISTICS_BATCH = 64
CAPTION_VOCABULARY = 4_000  # subwords, where no text encoder says how many
MAX_CLASS_WEIGHT = 10.0  # a label of a handful of rows must not decide every step that it is in


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """A plan ready to run.

    tokenizer: None where the network knows no text.
    origins: modality → where its pretrained weights came from, and their licence.
    """

    plan: Plan
    tokenizer: Tokenizer | None
    origins: dict[str, str]


def set_up(recipe: Recipe, pairs: Pairs, work: Path, progress: Progress) -> Setup:
    """Build the network, load what is pretrained, and open the caches, computing what is not there.

    Args:
        recipe: what is wanted.
        pairs: checked.
        work: the folder that caches are kept under.
        progress: told of what takes long.

    Raises:
        ConfigError: pretrained weights that are not to be had, or do not fit.
        CheckpointError: a version to start from that cannot be read.
        ManifestError: labels that no head can be trained on.
    """
    torch.manual_seed(recipe.seed)
    start = read_start(recipe.start_from) if recipe.start_from else None
    recipe = with_channels(recipe, pairs, start)
    tokenizer = _tokenizer(recipe, pairs, start)
    config = _network_config(recipe, pairs, tokenizer, start)
    bench = Workbench(Network(config), recipe.objective)
    network = bench.network.eval()
    known = {} if start is None else take_over(network, start, recipe.preprocessing, recipe.untrained)
    origins = known | _load_pretrained(network, recipe, known)
    if recipe.word_vectors and tokenizer is not None and "text" not in known:
        embedding = network.encoders["text"].get_submodule("embedding")
        assert isinstance(embedding, nn.Embedding)  # noqa: S101 - for the type checker
        found, words = load_word_vectors(embedding, tokenizer, Path(recipe.word_vectors))
        progress.log(f"word vectors: {found:,} of {words:,} words")
        origins["text"] = f"word vectors {Path(recipe.word_vectors).name}"
    # Caches are filled by the first process; the others then find them whole.
    source = distributed.first_then_others(
        lambda: _source(recipe, pairs, network, tokenizer, work / "cache", progress, known=known)
    )
    bench.to(memory_format=torch.channels_last).to(source.device)
    unknown = (tokenizer.token_to_id(UNKNOWN) if tokenizer is not None else None) or 0
    balance = {}
    if recipe.objective.class_weights == "balanced":
        balance = class_balance(source.truth.take(pairs.rows("train")), config, MAX_CLASS_WEIGHT)
    plan = Plan(bench, source, recipe, unknown, progress, scratch=work, balance=balance)
    return Setup(plan, tokenizer, origins)


def _tokenizer(recipe: Recipe, pairs: Pairs, start: Checkpoint | None) -> Tokenizer | None:
    encoder, caption = recipe.network.text, recipe.network.caption
    if encoder is None and caption is None:
        return None
    if start is not None and start.tokenizer is not None:
        return start.tokenizer  # its encoder knows no other subwords
    if isinstance(encoder, MiniLmTextEncoder):
        return minilm_tokenizer(recipe.pretrained_text)
    train = [pairs.records[row] for row in pairs.rows("train")]
    # Captions that are the texts are counted once.
    texts = (text for record in train for text in dict.fromkeys((*record.texts, *record.captions)))
    return train_tokenizer(texts, CAPTION_VOCABULARY if encoder is None else encoder.vocab_size)


def _network_config(
    recipe: Recipe, pairs: Pairs, tokenizer: Tokenizer | None, start: Checkpoint | None
) -> NetworkConfig:
    """The recipe's network with what the data decides: labels, scales, and the subwords that were found."""
    classes, targets = find_heads(pairs, recipe.data.columns, recipe.network.targets)
    changes: dict[str, object] = {"classes": classes, "targets": targets}
    if start is not None and recipe.data.columns.heads and not recipe.stages.train_heads:
        changes |= kept_heads(recipe.network, recipe.data.columns, start)
    encoder = recipe.network.text
    if encoder is not None and tokenizer is not None and not isinstance(encoder, MiniLmTextEncoder):
        theirs = None if start is None else start.config.network.text
        size = tokenizer.get_vocab_size() if theirs is None else getattr(theirs, "vocab_size", encoder.vocab_size)
        changes["text"] = encoder.model_copy(update={"vocab_size": size})
    if recipe.network.audio is not None and recipe.preprocessing.audio is not None:
        size = recipe.preprocessing.audio.num_mels
        changes["audio"] = recipe.network.audio.model_copy(update={"num_mels": size})
    if recipe.network.sensors is not None and (sensors := recipe.preprocessing.sensors) is not None:
        shape = {"num_channels": len(sensors.channels), "steps": sensors.steps}
        changes["sensors"] = recipe.network.sensors.model_copy(update=shape)
    if recipe.network.transcript is not None:
        changes["transcript"] = _transcript_head(recipe.network.transcript, pairs)
    if recipe.network.caption is not None and tokenizer is not None:
        theirs_caption = None if start is None else start.config.network.caption
        known = () if theirs_caption is None else theirs_caption.tokens
        head = recipe.network.caption
        changes["caption"] = caption_head(
            head if head.tokens else head.model_copy(update={"tokens": known}), pairs, tokenizer
        )
    return recipe.network.model_copy(update=changes)


def with_channels(recipe: Recipe, pairs: Pairs, start: Checkpoint | None = None) -> Recipe:
    """The recipe with the channels of its sensors, and their scales; as it is where it has none.

    Raises:
        ManifestError: a channel without a reading in train.
    """
    sensors = recipe.preprocessing.sensors
    if sensors is None:
        return recipe
    theirs = None if start is None else start.config.preprocessing.sensors
    found = find_channels(pairs, recipe.data.columns, sensors, None if theirs is None else theirs.channels)
    return recipe.model_copy(update={"preprocessing": recipe.preprocessing.model_copy(update={"sensors": found})})


def _transcript_head(head: CtcHead, pairs: Pairs) -> CtcHead:
    """The head with its tokens, which spell every transcript.

    Raises:
        ManifestError: they do not, or there is nothing to learn them from.
    """
    train = [pairs.records[row] for row in pairs.rows("train")]
    said = {record.row: record.transcript for record in train if record.transcript is not None}
    try:
        tokens = head.tokens or learn_tokens(said.values(), head)
    except ValueError as error:
        raise ManifestError([f"{pairs.path.name}: transcripts of train: {error}."]) from None
    faults = []
    for row, text in said.items():
        try:
            encode_transcript(text, tokens)
        except ValueError as error:
            faults.append(f"{pairs.path.name}:{row}: transcript: {error}. Add it to network.transcript.tokens.")
    if faults:
        raise ManifestError(faults)
    return head.model_copy(update={"tokens": tokens})


def _load_pretrained(network: Network, recipe: Recipe, known: Container[str]) -> dict[str, str]:
    """Weights of the modalities that no version to start from has given."""
    origins = {}
    if recipe.network.image is not None and "image" not in known:
        encoder = network.encoders["image"]
        assert isinstance(encoder, ImageEncoder)  # noqa: S101 - for the type checker
        origins["image"] = load_backbone(encoder, recipe.network.image.backbone, recipe.pretrained)
    if isinstance(recipe.network.text, MiniLmTextEncoder) and "text" not in known:
        text_encoder = network.encoders["text"]
        assert isinstance(text_encoder, TransformerTextEncoder)  # noqa: S101 - for the type checker
        origins["text"] = load_minilm(text_encoder, recipe.pretrained_text)
    if recipe.network.audio is not None and "audio" not in known:
        ear = network.encoders["audio"]
        if isinstance(ear, SpeechEmbeddingAudioEncoder):
            origins["audio"] = load_speech_embedding(ear.embedding, recipe.pretrained_audio)
    return origins


def _source(
    recipe: Recipe,
    pairs: Pairs,
    network: Network,
    tokenizer: Tokenizer | None,
    folder: Path,
    progress: Progress,
    *,
    known: Container[str],
) -> BatchSource:
    """Open the caches. Encoders of `known` modalities know the scale of their features already."""
    config = network.config
    images: LowerCache | None = None
    if config.image is not None and pairs.images:
        encoder = network.encoders["image"]
        assert isinstance(encoder, ImageEncoder)  # noqa: S101 - for the type checker
        images = _image_cache(recipe, pairs, encoder, folder, progress)
        if "image" not in known:
            encoder.standardise(_some_images(pairs, images))
    captions: list[list[Ids]] = [[] for _ in pairs.records]
    states: StateCache | None = None
    if config.text is not None:
        captions = prepare_texts(pairs, Preprocessors(recipe.preprocessing, tokenizer))
        text_encoder = network.encoders["text"]
        if isinstance(text_encoder, TransformerTextEncoder) and text_encoder.frozen_layers:
            progress.start("text states", sum(map(len, captions)))
            states = open_state_cache(folder, text_encoder, captions, progress.advance)
            if "text" not in known:
                text_encoder.standardise(_some_texts(pairs, captions, states))
    recordings = None
    if recipe.preprocessing.audio is not None:
        tokens = () if config.transcript is None else config.transcript.tokens
        ear = network.encoders["audio"]
        assert isinstance(ear, AudioEncoder)  # noqa: S101 - for the type checker
        frames = None
        if ear.has_frozen:
            frames = FrameStore(folder, ear, recipe.preprocessing.audio, distributed.rank())
        recordings = Recordings(pairs, recipe.preprocessing.audio, tokens, frames)
        if isinstance(ear, SpeechEmbeddingAudioEncoder) and "audio" not in known:
            ear.standardise(_some_recordings(pairs, recordings))
    readings = None if recipe.preprocessing.sensors is None else SensorRows(pairs, recipe.preprocessing.sensors)
    truth, written = Truth.of(pairs, config), None
    if config.caption is not None and tokenizer is not None:
        written = spell_captions(pairs, config.caption, tokenizer)
    device = distributed.device()
    unsaid = recipe.objective.unsaid
    return BatchSource(
        pairs, config.modalities, truth, images, captions, states, device, recordings, readings, written, unsaid
    )


def _image_cache(
    recipe: Recipe, pairs: Pairs, encoder: ImageEncoder, folder: Path, progress: Progress
) -> LowerCache:
    progress.start("image features", len(pairs.images))
    return open_lower_cache(
        folder,
        encoder,
        key=f"{pairs.hash}:{recipe.preprocessing.image}",
        num_images=len(pairs.images),
        pixels_of=lambda images: prepare_pixels([pairs.images[i] for i in images], recipe.preprocessing),
        mirror=recipe.augmentation.mirror,
        advance=progress.advance,
    )


def _some_images(pairs: Pairs, cache: LowerCache) -> Iterator[Lower]:
    """Training images, to measure features on; any images where train has none."""
    train = pairs.image_of_N[pairs.rows("train")]
    some = train[train >= 0][:STATISTICS_ITEMS]
    if not len(some):
        some = np.arange(min(len(pairs.images), STATISTICS_ITEMS))
    for start in range(0, len(some), _STATISTICS_BATCH):
        part = some[start : start + _STATISTICS_BATCH]
        yield cache.load(np.zeros_like(part), part)


def _some_texts(pairs: Pairs, captions: list[list[Ids]], states: StateCache) -> Iterator[TextLower]:
    """First captions of training rows, as `_some_images` does."""
    rows = [int(row) for row in pairs.rows("train") if captions[row]] or [
        row for row, own in enumerate(captions) if own
    ]
    some = rows[:STATISTICS_ITEMS]
    for start in range(0, len(some), _STATISTICS_BATCH):
        yield states.load([(row, 0) for row in some[start : start + _STATISTICS_BATCH]])


def _some_recordings(pairs: Pairs, recordings: Recordings) -> Iterator[AudioFeatures]:
    """Those of training rows, drawn by a seed, for the rows may be in order of their speakers."""
    rows = pairs.rows("train")
    rows = np.random.default_rng(0).permutation(rows[pairs.recording_of_N[rows] >= 0])[:STATISTICS_ITEMS]
    for start in range(0, len(rows), _STATISTICS_BATCH):
        yield recordings.plain(rows[start : start + _STATISTICS_BATCH]).features
