"""What the Open Inference Protocol's routes answer with, /infer aside."""

from typing import Self

from pydantic import BaseModel, Field

from app import __version__
from app.infer_outputs import described, outputs_of
from app.schemas.common import Problem
from app.served import Model


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]

    @classmethod
    def ours(cls) -> Self:
        """What there is to say of this one."""
        return cls(name="intermodal", version=__version__, extensions=["binary_tensor_data", "classification"])


class ServerState(BaseModel):
    """The state of the server: both are true, or the answer is no 200."""

    live: bool | None = Field(None, exclude_if=lambda value: value is None)
    ready: bool | None = Field(None, exclude_if=lambda value: value is None)


class ModelState(BaseModel):
    """The state of a model: true, or the answer is no 200."""

    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """A tensor: -1 in its shape is what depends on the request."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]

    @classmethod
    def of(cls, model: Model, versions: list[int]) -> Self:
        """Those of `model`; `versions` are what is loaded of its name."""
        return cls(
            name=model.name,
            versions=[str(version) for version in versions],
            platform=f"intermodal_{model.predictor.engine.name}",
            inputs=[TensorMetadata(name=name, datatype="BYTES", shape=[-1]) for name in model.modalities],
            outputs=[TensorMetadata(**tensor) for tensor in described(outputs_of(model))],
        )


class InferenceProblem(Problem):
    """What went wrong, as this protocol says it, and as all routes do."""

    error: str = Field(description="The same as `detail`.")
