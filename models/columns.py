"""Which column of a manifest is what. Knows no rows."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from models.config import Config


class Columns(Config):
    """Which column of the manifest is what."""

    id: str | None = Field(None, description="Unique per row; without it, the row's number.")
    image: str | None = Field(None, description="Path of an image, relative to the manifest.")
    text: tuple[str, ...] = Field(
        (), description="Texts; several columns, or a list in a cell, are several captions."
    )
    caption: tuple[str, ...] = Field(
        (),
        description="Texts about the item, for a head that writes them; several columns, or a list in a cell, are "
        "several captions. May be columns of `text` too.",
    )
    audio: str | None = Field(None, description="Path of a recording, relative to the manifest.")
    sensors: str | dict[str, str] | None = Field(
        None,
        description="Readings: a column of JSON objects, channel to number or list; or channels, each with its "
        "column of numbers or lists. A list of columns are channels of the same names.",
    )
    transcript: str | None = Field(
        None, description="What is said in the recording, for a head that reads it off."
    )
    speaker: str | None = Field(
        None, description="Who speaks. Recordings of one are joined, where transcripts are learnt."
    )
    labels: tuple[str, ...] = Field((), description="One classification head each.")
    multi_labels: tuple[str, ...] = Field(
        (),
        description="One head each, of which several labels may hold: a list in a cell, or labels between `|`. An "
        "empty list, or `|` alone, says that none holds; an empty cell says nothing.",
    )
    targets: tuple[str, ...] = Field((), description="Numbers: one regression head each.")
    split: str | None = Field(None, description="train, val or test; without it, carved by group.")
    group: tuple[str, ...] = Field((), description="Rows that are equal in any of these never straddle a split.")
    metadata: tuple[str, ...] = Field((), description="Kept with a gallery item, not learnt.")
    missing: tuple[str, ...] = Field(("",), description='Cells that mean "no value". "NA" is an ordinary value.')

    @field_validator("text", "caption", "labels", "multi_labels", "targets", "group", "metadata", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("sensors", mode="before")
    @classmethod
    def _channels_may_be_columns(cls, value: object) -> object:
        if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
            return {name: name for name in value}
        return value or None

    @property
    def sensor_columns(self) -> tuple[str, ...]:
        """The columns that readings are in."""
        if self.sensors is None or isinstance(self.sensors, str):
            return (self.sensors,) if self.sensors else ()
        return tuple(self.sensors.values())

    @property
    def heads(self) -> tuple[str, ...]:
        """The columns that become heads, in the order of the network's."""
        return (*self.labels, *self.multi_labels, *self.targets)

    @model_validator(mode="after")
    def _a_column_is_one_head(self) -> Self:
        twice = sorted({name for name in self.heads if self.heads.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: stands twice in labels, multi_labels and targets; keep one")
        if self.transcript is not None and self.audio is None:
            raise ValueError("transcript: says what is heard in a recording; name the column of these in audio")
        return self
