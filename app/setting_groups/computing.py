"""What computes: the engine, its threads and its batches."""

from typing import Literal

from pydantic import Field

from app.setting_groups.group import Group
from models.cores import usable_cores

WORKERS_ON_A_CARD = 2


class Computing(Group):
    """Engine, threads and batches."""

    engine: Literal["auto", "onnx", "torch"] = Field(
        "auto", description="What computes: onnx on a CPU, torch on a GPU; auto chooses."
    )
    compile: bool = Field(
        False, description="Compile the torch engine's image encoder, beside the traffic; takes minutes."
    )
    num_workers: int = Field(
        0, ge=0, le=256, description="Inference threads; 0 is one for each core, or two on a GPU."
    )
    num_threads: int = Field(1, ge=1, le=256, description="Threads inside one operator, for each worker.")
    max_batch_items: int = Field(32, ge=1, le=4096, description="Waiting items that one forward pass takes.")
    max_batch_pixels: int = Field(
        200_704, ge=1, description="Pixels that one forward pass takes, of images as the model sees them."
    )
    max_batch_tokens: int = Field(1024, ge=1, description="Tokens of texts that one forward pass takes.")
    max_batch_frames: int = Field(
        12_000,
        ge=1,
        description="Features of recordings that one forward pass takes: mostly 100 for a second.",
    )
    max_batch_readings: int = Field(
        65_536, ge=1, description="Readings of sensors that one forward pass takes, gaps included."
    )
    max_batch_wait_ms: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Time a batch waits to be fuller, where arrivals promise it. For GPUs.",
    )
    engine_timeout_seconds: float = Field(
        10.0,
        gt=0,
        description="Time for a forward pass, before its worker is given up; for decoding and a search too.",
    )

    def workers(self, *, on_cpu: bool = True) -> int:
        """Inference threads: on a CPU, so that workers times threads do not exceed the cores by default.

        On a card two: one collates while the other's batch is computed, and each holds memory of the card.
        """
        if not on_cpu:
            return self.num_workers or WORKERS_ON_A_CARD
        return self.num_workers or max(1, usable_cores() // self.num_threads)
