"""The encoders of sensor readings that there are, by kind: a window of channels in, a vector and tokens out."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from models.config.base import Config, kind_or


class MlpSensorEncoder(Config):
    """Fully connected layers over the whole window at once; one token. For single readings and short windows."""

    kind: Literal["mlp"] = "mlp"
    num_channels: int = Field(1, ge=1, description="As preprocessing has them; training fills it in.")
    steps: int = Field(1, ge=1, description="As preprocessing has them; training fills it in.")
    hidden: int = Field(128, ge=1)
    layers: int = Field(2, ge=1, le=8)
    dropout: float = Field(0.1, ge=0, lt=1)


class TemporalConvSensorEncoder(Config):
    """Causal convolutions over time, each reaching twice as far (Bai et al. 2018, TCN); a token for each step."""

    kind: Literal["tcn"]
    num_channels: int = Field(1, ge=1, description="As preprocessing has them; training fills it in.")
    steps: int = Field(1, ge=1, description="As preprocessing has them; training fills it in.")
    hidden: int = Field(64, ge=1, description="Width of a step.")
    layers: int = Field(4, ge=1, le=12, description="Layer i looks kernel - 1 times 2^i steps back.")
    kernel: int = Field(3, ge=2, le=15, description="Steps that a convolution sees.")
    dropout: float = Field(0.1, ge=0, lt=1)


SensorEncoder = Annotated[
    Annotated[MlpSensorEncoder, Tag("mlp")] | Annotated[TemporalConvSensorEncoder, Tag("tcn")],
    Discriminator(
        kind_or("mlp"),
        custom_error_type="sensor_encoder",
        custom_error_message="kind must be one of mlp, tcn",
    ),
]
"""An encoder of sensor readings by its `kind`, which is mlp where none is named."""
