"""What every stage of a training works on: the parts to train, the data and the recipe.

# C classes"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from models.nets.encoders import Encoded
from models.nets.heads import HeadOutputs
from training.captions import Details, caption_loss
from training.data.batches import BatchSource, EncoderInputs
from training.data.pairs import Rows
from training.data.truth import Truth
from training.data.written import Drawn
from training.objective import head_losses
from training.optimisation import distributed
from training.optimisation.loop import Progress
from training.recipe import Recipe
from training.speech import transcript_loss
from training.workbench import Workbench


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What every stage needs: the parts to train, the data, and the recipe.

    scratch: a folder for what is too large for memory; None is the system's own.
    balance: head → weights (C,) of its labels; see `class_balance`.
    """

    bench: Workbench
    source: BatchSource
    recipe: Recipe
    unknown_id: int
    progress: Progress
    scratch: Path | None = None
    balance: Mapping[str, Tensor] = field(default_factory=dict)

    def augmented(self, rows: Rows, generator: torch.Generator) -> EncoderInputs:
        """Encoder inputs of this process's share of a training batch, drawn from a generator of its own."""
        own = distributed.own_generator(generator)
        return self.source.augmented(distributed.share(rows), self.recipe.augmentation, self.unknown_id, own)

    def speech(self, rows: Rows, generator: torch.Generator) -> EncoderInputs:
        """Recordings of this process's share of a training batch, some joined to longer ones."""
        own = distributed.own_generator(generator)
        return self.source.speech(distributed.share(rows), self.recipe.augmentation, own)

    def spoken_loss(self, encoded: Encoded | None, inputs: EncoderInputs) -> Tensor | float:
        """The weighted loss of what is said in all processes' recordings; 0 where nothing is known.

        Where the network has a transcript, every process must call it; with None where its share has no recording.
        """
        network = self.bench.network
        if network.transcript is None:
            return 0.0
        found, count = None, 0
        if inputs.audio is not None and encoded is not None:
            found = transcript_loss(network, encoded, inputs.audio.spoken)
            count = int(inputs.audio.spoken.known_n.sum())
        if found is None and distributed.size() == 1:
            return 0.0
        own = torch.zeros((), device=self.source.device) if found is None else found
        return self.recipe.objective.transcript * distributed.mean(own, count)

    def written_loss(self, details: Details, rows: Rows, drawn: Drawn, precision: str) -> Tensor:
        """The loss of captions of all processes' rows, given this one's rows and their details by modality."""
        objective = self.recipe.objective
        loss, count = caption_loss(
            self.bench.network,
            self.source,
            rows,
            details,
            drawn,
            smoothing=objective.caption_smoothing,
            precision=precision,
        )
        return distributed.mean(loss, count)

    def draw_captions(self, rows: Rows, generator: torch.Generator) -> Drawn:
        """Captions of these rows for a step. For a network with a caption."""
        head, written = self.bench.network.config.caption, self.source.written
        if head is None or written is None:
            raise ValueError("captions need a network with a caption")
        return written.draw(rows, self.recipe.objective.captions_a_step, head.blind, generator)

    def head_loss(self, name: str, found: HeadOutputs, truth: Truth) -> Tensor:
        """The weighted sum over heads, those of one encoder alone or SHARED; 0 where no row has a cell."""
        objective = self.recipe.objective
        losses = head_losses(
            self.bench.network.config, found, truth, smoothing=objective.label_smoothing, balance=self.balance
        )
        total: Tensor = self.bench.tasks[name](losses, objective.heads)
        return total
