"""The modules that are trained: the network, and what only training needs.

Knows the parts and what they are made for; knows no rows and no stages.

# B batch, D width"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from models.nets.heads import HeadOutputs, build_heads, run_heads
from models.nets.network import Network
from training.losses import ContrastiveLoss, SigmoidContrast
from training.objective import TaskWeights
from training.objective_config import Objective
from training.recipe import Stage

SHARED = "shared"  # the heads that are served, beside those of each encoder alone
CONTRASTIVE = ("contrastive", "contrastive_fused")  # named as the recipe names their weights
TASK_RATE = 10.0  # Adam moves a learnt weight's log by a rate a step at most: by the stage's own, hardly at all


class Workbench(nn.Module):
    """The network, and what only training needs: each encoder's own heads, and what the objective learns."""

    def __init__(self, network: Network, objective: Objective | None = None) -> None:
        super().__init__()
        objective = objective or Objective()
        self.network = network
        self.alone = nn.ModuleDict(
            {
                name: nn.ModuleDict(dict(zip(("classes", "targets"), build_heads(network.config), strict=True)))
                for name in network.modalities
            }
        )
        contrast = {"infonce": ContrastiveLoss, "sigmoid": SigmoidContrast}[objective.contrastive_kind]
        self.contrast = contrast(objective.contrastive_scale)
        learns = objective.weighting == "uncertainty"
        # A head that predicts its own variance is weighed by it already.
        certain = [head for head, config in network.config.targets.items() if not config.uncertainty]
        heads = [*network.config.classes, *certain] if learns else []
        self.tasks = nn.ModuleDict({name: TaskWeights(heads) for name in (*network.modalities, SHARED)})
        self.contrastive = TaskWeights(CONTRASTIVE if learns else ())

    def run_alone(self, modality: str, vectors_BD: Tensor) -> HeadOutputs:
        """One encoder's vectors through the heads of its own."""
        own = self.alone[modality]
        return run_heads(own["classes"], own["targets"], self.network.dropout(vectors_BD))  # type: ignore[index]

    def learned(self, name: str) -> dict[str, float]:
        """The factor that each task's loss has now where it is learnt: of one encoder's stage, or SHARED."""
        own = self.tasks[name].learned()  # type: ignore[operator]
        return {**own, **self.contrastive.learned()} if name == SHARED else dict(own)

    def encoder_groups(
        self, modalities: Iterable[str], stage: Stage, fresh: Sequence[nn.Parameter]
    ) -> list[tuple[list[nn.Parameter], float]]:
        """New layers at the stage's rate; pretrained ones at theirs, or frozen; the lower half always frozen."""
        new, backbone = list(fresh), list[nn.Parameter]()
        for name in modalities:
            encoder: Any = self.network.encoders[name]
            backbone += encoder.pretrained()
            new += encoder.fresh()
        groups = [(new, stage.learning_rate)]
        return [*groups, (backbone, stage.backbone_learning_rate)] if stage.backbone_learning_rate else groups

    def learned_groups(self, name: str, stage: Stage) -> list[tuple[list[nn.Parameter], float]]:
        """Learnt weights of tasks, at a rate of their own, as `Job.groups` takes them."""
        parts = [self.tasks[name], *([self.contrastive] if name == SHARED else [])]
        parameters = [parameter for part in parts for parameter in part.parameters()]
        return [(parameters, TASK_RATE * stage.learning_rate)] if parameters else []


def learned_by(name: str) -> Callable[[nn.Module], dict[str, float]]:
    """What a stage's history notes of its learnt weights, as `Job.learned` takes it."""

    def learned(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Workbench)  # noqa: S101 - for the type checker
        return module.learned(name)

    return learned
