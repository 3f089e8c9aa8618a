"""A recipe: everything that decides a training run, read from a TOML file and checked at once."""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from models.columns import Columns
from models.config import MODALITIES, Config, NetworkConfig, Preprocessing
from models.errors import ConfigError
from models.trust import TrustRules
from training.augmentation import Augmentation
from training.objective_config import Objective

RESERVED = ("retrieval", "transcript", "caption")
"""Names of figures that are of no head."""


class DataRecipe(Config):
    """Where the pairs are and what their columns mean."""

    manifest: str | None = Field(None, description="Relative to the recipe; --data overrides it.")
    columns: Columns
    val_fraction: float = Field(0.1, gt=0, lt=0.5, description="Carved by group where the manifest has no val.")
    test_fraction: float = Field(0.1, ge=0, lt=0.5, description="Carved by group where the manifest has no test.")
    licence: str = Field("", description="Source and licence of the data, for the model card.")


class Stage(Config):
    """One stage of training: AdamW, linear warm-up, cosine to zero, an average (EMA) of the weights kept."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(64, ge=2, description="Rows of a step, over all micro-batches and processes.")
    accumulate: int = Field(
        1,
        ge=1,
        description="Micro-batches that a step's rows are split into, which saves memory. The mean of their "
        "losses has the gradient of the whole where a loss is a mean over rows (BatchNorm is frozen, so rows do "
        "not meet there). A contrastive loss is not: a row's negatives are then those of its micro-batch.",
    )
    learning_rate: float = Field(1e-3, gt=0)
    backbone_learning_rate: float = Field(0.0, ge=0, description="For pretrained blocks; 0 leaves them frozen.")
    weight_decay: float = Field(0.02, ge=0)
    ema_decay: float = Field(0.99, ge=0, lt=1)
    patience: int = Field(
        0,
        ge=0,
        description="Stop after so many epochs without a better validation figure, and keep the averaged weights "
        "of the best epoch; 0 = train all epochs and keep the last.",
    )
    monitor: str = Field(
        "",
        description="The figure that patience watches, as the log and metrics.json name it: image+text/colour, or "
        "image+text for the mean of its heads; empty = the mean of all.",
    )
    precision: Literal["fp32", "bf16", "fp16", "auto"] = Field(
        "fp32",
        description="Of the encoders' passes; fusion, heads and losses stay in fp32. fp16 scales its gradients. "
        "auto is bf16 on a CUDA card that has it, fp16 on another, and fp32 on a CPU.",
    )
    compile: bool = Field(
        False, description="torch.compile for the image encoder's trained blocks. It takes a minute at the start."
    )
    checkpointing: bool = Field(
        False,
        description="Compute the activations inside the image encoder's trained blocks again in the backward pass "
        "instead of keeping them: less memory, some more time, the same gradients.",
    )

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate: {self.accumulate} does not divide batch_size, {self.batch_size}")
        if self.batch_size < 2 * self.accumulate:
            raise ValueError("accumulate: a micro-batch needs two rows or more")
        if self.monitor and not self.patience:
            raise ValueError("monitor: is watched only with patience; set it to 1 or more")
        if self.compile and self.checkpointing:
            raise ValueError("compile and checkpointing exclude each other: a compiled block plans its own memory")
        return self


class Stages(Config):
    """Encoders alone, then captions and fusion on what these give, then all together. Any may be left out."""

    image: Stage | None = None
    text: Stage | None = None
    audio: Stage | None = None
    sensors: Stage | None = None
    caption: Stage | None = None
    fusion: Stage | None = None
    joint: Stage | None = None

    @property
    def alone(self) -> tuple[str, ...]:
        """The modalities whose encoder is trained alone."""
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)

    @property
    def train_heads(self) -> bool:
        """Whether anything trains the fusion and the heads that read the fused vector."""
        return self.fusion is not None or self.joint is not None

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if self.fusion is None and self.joint is None and self.caption is None:
            raise ValueError(
                "one of stages.fusion, stages.joint and stages.caption is needed: they train the heads"
            )
        return self


class GalleryRecipe(Config):
    """The seed of the gallery: rows of train and val, one for each text."""

    max_items: int = Field(2_000, ge=0, le=4_000)
    thumbnail_px: int = Field(112, ge=16, le=512)
    thumbnail_quality: int = Field(80, ge=10, le=95)


class ReportRecipe(Config):
    """What the model card and the report of an evaluation may show."""

    pictures: bool = Field(True, description="Images and texts of the data; false where a licence forbids it.")


class Recipe(Config):
    """A whole training run. The heads of `network` are filled from the manifest's columns."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    seed: int = 0
    pretrained: str = Field("package", description="Image weights: package, hub, none, or a .safetensors path.")
    start_from: str = Field(
        "", description="A version's folder, whose encoders, and whatever else fits, are the start; --start-from."
    )
    pretrained_text: str = Field("package", description="MiniLM's weights: package, hub, or a folder with them.")
    pretrained_audio: str = Field(
        "package", description="Weights of the speech embedding: package, none, or an embedding_model.onnx."
    )
    word_vectors: str = Field(
        "",
        description="A text file (GloVe, word2vec, fastText) that subwords which are words begin with.",
    )
    language_model: str = Field(
        "",
        description="A file with an n-gram model of the transcript's tokens (ARPA or KenLM), for beam search.",
    )
    data: DataRecipe
    preprocessing: Preprocessing
    network: NetworkConfig
    objective: Objective = Objective()
    augmentation: Augmentation = Augmentation()
    stages: Stages
    gallery: GalleryRecipe = GalleryRecipe()
    report: ReportRecipe = ReportRecipe()
    trust: TrustRules | None = Field(
        None, description="What an answer is judged by, so that it says when not to trust it; an empty table does."
    )

    @property
    def untrained(self) -> tuple[str, ...]:
        """Of transcript and caption, what the network has and no stage gives any weight."""
        stages, weights = self.stages, self.objective
        trained = {
            "transcript": weights.transcript and (stages.audio or stages.joint),
            "caption": stages.caption or (weights.caption and stages.joint),
        }
        return tuple(name for name, how in trained.items() if getattr(self.network, name) and not how)

    @model_validator(mode="after")
    def _columns_feed_the_network(self) -> Self:
        for name in MODALITIES:
            column = getattr(self.data.columns, name)
            parts = (getattr(self.network, name), getattr(self.preprocessing, name))
            if any((part is None) == bool(column) for part in parts):
                raise ValueError(f"{name}: data.columns, preprocessing and network must all have it, or none")
            if getattr(self.stages, name) is not None and not column:
                raise ValueError(f"stages.{name} has no data.columns.{name} to train on")
        if self.word_vectors and (self.network.text is None or not hasattr(self.network.text, "embedding")):
            raise ValueError(
                "word_vectors: network.text has no embeddings that they could fill; use gru, lstm, rnn or cnn"
            )
        for name in set(RESERVED) & set(self.data.columns.heads):
            raise ValueError(f"data.columns: a head named {name!r} is what other figures are called; rename it")
        for head in self.objective.heads:
            if head not in self.data.columns.heads:
                raise ValueError(
                    f"objective.heads.{head} is not one of data.columns.labels, multi_labels, targets"
                )
        for head in self.network.targets:
            if head not in self.data.columns.targets:
                raise ValueError(f"network.targets.{head} is not one of data.columns.targets")
        return self

    @model_validator(mode="after")
    def _what_is_unsaid_could_be_said(self) -> Self:
        unsaid = self.objective.unsaid
        for name in () if unsaid is None else unsaid.without:
            if name not in MODALITIES or getattr(self.network, name) is None:
                raise ValueError(f"objective.unsaid.without: {name!r} is no modality of the network")
        for head in {} if unsaid is None else unsaid.means:
            if head not in self.data.columns.labels:
                raise ValueError(f"objective.unsaid.means.{head} is not one of data.columns.labels")
        return self

    @model_validator(mode="after")
    def _what_is_judged_is_there(self) -> Self:
        rules = self.trust or TrustRules()
        for key, names in (("needs", rules.needs), ("familiar", rules.familiar)):
            for name in names:
                if getattr(self.network, name, None) is None or name not in MODALITIES:
                    raise ValueError(f"trust.{key}: {name!r} is no modality of the network")
        for head in rules.heads:
            if head not in self.data.columns.heads:
                raise ValueError(f"trust.heads: {head!r} is not one of data.columns.labels, targets")
        for head in rules.most_std:
            if head not in self.network.targets or not self.network.targets[head].uncertainty:
                raise ValueError(f"trust.most_std.{head}: needs network.targets.{head}.uncertainty = true")
        return self

    @model_validator(mode="after")
    def _a_pretrained_ear_gets_its_bands(self) -> Self:
        if self.network.audio is not None and self.preprocessing.audio is not None:
            own = "speech_embedding"
            if (self.network.audio.kind == own) != (self.preprocessing.audio.bands == own):
                raise ValueError(
                    f'network.audio.kind = "{own}" and preprocessing.audio.bands = "{own}" go together: say both'
                )
        return self

    @model_validator(mode="after")
    def _transcripts_are_learnt(self) -> Self:
        transcript = self.data.columns.transcript
        if (transcript is None) != (self.network.transcript is None):
            raise ValueError("transcript: data.columns and network must both have it, or neither")
        if transcript and not (self.stages.audio or self.stages.joint):
            raise ValueError("network.transcript: nothing trains it. Add stages.audio or stages.joint")
        if bool(self.data.columns.caption) != (self.network.caption is not None):
            raise ValueError("caption: data.columns and network must both have it, or neither")
        caption, columns = self.network.caption, self.data.columns
        if caption is not None and "text" in caption.reads and (both := set(columns.text) & set(columns.caption)):
            raise ValueError(
                f"network.caption.reads: {min(both)!r} is a column of data.columns.text too, so a caption would "
                "learn to copy what it reads. Leave text out of reads, or name another column"
            )
        if self.stages.caption is not None and self.network.caption is None:
            raise ValueError("stages.caption: there is no network.caption that it could train")
        if self.network.caption is not None and not (self.stages.caption or self.stages.joint):
            raise ValueError("network.caption: nothing trains it. Add stages.caption or stages.joint")
        if self.language_model and not transcript:
            raise ValueError("language_model: there is no network.transcript whose tokens it could know")
        return self


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        ConfigError: no such file, not TOML, or a key that is unknown or has a wrong value.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such recipe. The shipped ones are in recipes/.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    return Recipe.parse(values, str(path))
