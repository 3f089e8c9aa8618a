"""The models that are served, described."""

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel, Field

from app.registry import Registry
from app.schemas.common import is_none, six_digits
from app.served import Model
from models.config import CaptionHead, RegressionHead, SensorPreprocessing


class HeadResponse(BaseModel):
    """A classification head."""

    labels: list[str]
    multi_label: bool


class ValueHeadResponse(BaseModel):
    """A head that gives a number."""

    mean: float = Field(description="Of the rows that the model was trained on.")
    std: float = Field(description="Of the same rows.")
    uncertainty: bool = Field(description="Whether a standard deviation comes with each number.")
    unit: str | None = Field(None, exclude_if=is_none, description="Where the recipe named one.")

    @classmethod
    def of(cls, head: RegressionHead) -> Self:
        """A description of `head`."""
        mean, std = six_digits(head.mean), six_digits(head.std)
        return cls(mean=mean, std=std, uncertainty=head.uncertainty, unit=head.unit)


class ChannelResponse(BaseModel):
    """A channel of the sensors."""

    unit: str | None = Field(None, exclude_if=is_none, description="Where the recipe named one.")
    low: float | None = Field(description="Readings below are reported as out of range.")
    high: float | None = Field(description="Readings above are.")
    mean: float = Field(description="Of the rows that the model was trained on.")
    std: float = Field(description="Of the same rows.")


class SensorsResponse(BaseModel):
    """What a model takes as sensors."""

    steps: int = Field(description="Of the window; of longer ones the newest are taken.")
    channels: dict[str, ChannelResponse]

    @classmethod
    def of(cls, config: SensorPreprocessing) -> Self:
        """A description of `config`."""
        parts = ("low", "high", "mean", "std")
        channels = {
            name: ChannelResponse(
                unit=channel.unit,
                **{part: None if (x := getattr(channel, part)) is None else six_digits(x) for part in parts},
            )
            for name, channel in config.channels.items()
        }
        return cls(steps=config.steps, channels=channels)


class CaptionHeadResponse(BaseModel):
    """A head that writes texts."""

    reads: list[str] = Field(description="The modalities that it looks at; an item needs one of them.")
    continues_text_alone: bool = Field(description="Whether a text alone is continued too.")
    max_tokens: int = Field(description="Longest text, that which is continued included.")

    @classmethod
    def of(cls, head: CaptionHead) -> Self:
        """A description of `head`."""
        return cls(reads=list(head.reads), continues_text_alone=head.blind > 0, max_tokens=head.max_tokens)


class GalleryResponse(BaseModel):
    """A model's gallery."""

    name: str
    num_items: int
    targets: list[str]


class ModelResponse(BaseModel):
    """A model that is served."""

    name: str
    version: int
    default: bool = Field(description="Whether it answers where no model is named.")
    current: bool = Field(description="Whether it answers where the name is given, and no version.")
    versions: list[int] = Field(description="Of this name, what is loaded; the current one first.")
    available: list[int] = Field(description="Of this name, what the folder of checkpoints has.")
    modalities: list[str]
    heads: dict[str, HeadResponse]
    values: dict[str, ValueHeadResponse] | None = Field(
        None, exclude_if=is_none, description="Left out where no head gives a number."
    )
    sensors: SensorsResponse | None = Field(
        None, exclude_if=is_none, description="Left out where it knows no sensors."
    )
    transcribes: bool = Field(description="Whether it says what is said in a recording.")
    generates: bool = Field(description="Whether it writes texts.")
    caption: CaptionHeadResponse | None = Field(
        None, exclude_if=is_none, description="How it writes them; left out where it does not."
    )
    dimensions: int = Field(description="Length of an embedding.")
    embedding_id: str
    engine: str
    device: str
    gallery: GalleryResponse | None

    @classmethod
    def of(cls, model: Model, registry: Registry, available: Mapping[str, Sequence[int]]) -> Self:
        """A description of `model`, which is in `registry`; `available` is what the disk has, by name."""
        versions = registry.versions(model.name)
        config, gallery = model.predictor.config, model.gallery
        return cls(
            name=model.name,
            version=model.version,
            default=model is registry.models[0],
            current=versions[:1] == [model.version],
            versions=versions,
            available=list(available.get(model.name, ())),
            modalities=list(model.modalities),
            heads={
                name: HeadResponse(labels=list(head.labels), multi_label=head.multi_label)
                for name, head in config.network.classes.items()
            },
            values={name: ValueHeadResponse.of(head) for name, head in config.network.targets.items()} or None,
            sensors=None
            if config.preprocessing.sensors is None
            else SensorsResponse.of(config.preprocessing.sensors),
            transcribes=model.predictor.transcriber is not None,
            generates=model.captioner is not None,
            caption=None if config.network.caption is None else CaptionHeadResponse.of(config.network.caption),
            dimensions=config.network.embedding.dimensions,
            embedding_id=config.embedding_id,
            engine=model.predictor.engine.name,
            device=model.predictor.engine.device,
            gallery=None
            if gallery is None
            else GalleryResponse(name=model.name, num_items=len(gallery), targets=list(gallery.targets)),
        )


class ModelsResponse(BaseModel):
    """The models that are served, the default first."""

    models: list[ModelResponse]
