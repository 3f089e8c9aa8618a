"""The processes of a run under torchrun: who this one is, its share of a batch, and what all have together.

Each process encodes its share of every global batch and gathers the vectors of all, with gradient; then each
computes the loss on the whole batch. So every loss, contrastive or masked, is that of one process with the whole
batch, and none needs to know of this module. What is written and what is said stays with the process whose rows it
is of: such losses are joined by `mean`. Outside of torchrun there is one process, and nothing is done.

# R processes (ranks), n rows of one, B = R n rows of all"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.errors import ConfigError
from training.data.pairs import Rows

PATIENCE = timedelta(days=2)  # the first process may fill a cache for hours while the others wait

Result = TypeVar("Result")
Loaded = TypeVar("Loaded")


@contextmanager
def session() -> Iterator[None]:
    """Join the other processes if torchrun started this one, and leave them at the end."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    card = device()
    if card.type == "cuda":
        torch.cuda.set_device(card)
    dist.init_process_group("nccl" if card.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def device() -> torch.device:
    """The CUDA device of this process if there is any, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= torch.cuda.device_count():
        raise ConfigError(
            f"--nproc_per_node: process {local + 1} has no CUDA device; there are {torch.cuda.device_count()}."
        )
    return torch.device("cuda", local)


def size() -> int:
    """How many processes there are: R."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes: caches, state, progress, the version."""
    return rank() == 0


def barrier() -> None:
    """Wait for all."""
    if size() > 1:
        dist.barrier()


def first_then_others(work: Callable[[], Result]) -> Result:
    """Let the first process do `work`, whose files the others then find finished when they do the same."""
    if is_first():
        result = work()
        barrier()
        return result
    barrier()
    return work()


def agree(number: int) -> int:
    """The first process's number, everywhere."""
    if size() == 1:
        return number
    shared = torch.tensor(number, device=device())
    dist.broadcast(shared, src=0)
    return int(shared)


def take_first(module: nn.Module) -> None:
    """Give every process the first one's parameters and buffers."""
    if size() > 1:
        for value in module.state_dict().values():
            dist.broadcast(value, src=0)


def most(number: int) -> int:
    """The largest of all processes' numbers."""
    if size() == 1:
        return number
    shared = torch.tensor(number, device=device())
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def share(rows: Rows) -> Rows:
    """The part (n,) of a global batch (B,) that this process encodes; B is a multiple of R."""
    part = len(rows) // size()
    return rows[rank() * part : (rank() + 1) * part]


def own_generator(common: torch.Generator) -> torch.Generator:
    """What this process alone draws from; the common one moves on by one number, in every process."""
    if size() == 1:
        return common
    seed = int(torch.randint(0, 1 << 55, (), generator=common))
    return torch.Generator().manual_seed(seed + rank())


def spread_index(index_n: Tensor) -> Tensor:
    """An index (n,) within a share, equal in all processes, as one (B,) within the global batch."""
    return torch.cat([index_n + other * len(index_n) for other in range(size())])


def gather(values_n: Tensor) -> Tensor:
    """The values (n, …) of all processes → (B, …), in the order of the global batch, with gradient."""
    if size() == 1:
        return values_n
    if torch.is_grad_enabled() and not values_n.requires_grad and values_n.is_floating_point():
        # Where a share has nothing to train on, the backward pass must still meet the others'.
        values_n = values_n.detach().requires_grad_()
    return cast(Tensor, _Gather.apply(values_n))


def mean(own: Tensor, count: int) -> Tensor:
    """The mean over what all processes have, of this one's mean () over `count` things; with gradient.

    A process with nothing gives a count of 0, and must call all the same. The mean of the processes' means would
    weigh the things of one that has few of them more than the others'.
    """
    if size() == 1:
        return own
    counts_R = gather(torch.tensor([float(count)], device=own.device))
    return gather((own * count)[None]).sum() / counts_R.detach().sum().clamp(min=1)


class _Gather(torch.autograd.Function):
    """All-gather; backward, the sum of what each process's loss asks of this one's values."""

    @staticmethod
    def forward(ctx: Any, values_n: Tensor) -> Tensor:
        ctx.count = len(values_n)
        parts = [torch.empty_like(values_n, memory_format=torch.contiguous_format) for _ in range(size())]
        dist.all_gather(parts, values_n.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total_B = gradients[0].contiguous().clone()
        dist.all_reduce(total_B)
        return total_B[rank() * ctx.count : (rank() + 1) * ctx.count]


def parallel(module: nn.Module, loss: Callable[[Loaded], Tensor]) -> Callable[[Loaded], Tensor]:
    """`loss` such that its backward pass leaves in every process the gradient's mean over all of them.

    The gradient of gathered vectors is a sum over R processes, so the mean is that of one with the whole batch.
    """
    if size() == 1:
        return loss
    # A group of its own: a process whose share lacks a modality reduces that part earlier than the others, and in
    # one group it would meet their gathering instead.
    return DistributedDataParallel(
        _LossModule(module, loss),
        process_group=dist.new_group(),
        find_unused_parameters=True,
    )


class _LossModule(nn.Module):
    def __init__(self, module: nn.Module, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.module, self._loss = module, loss

    def forward(self, loaded: Any) -> Tensor:
        return self._loss(loaded)
