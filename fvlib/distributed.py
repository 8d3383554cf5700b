"""Several processes that train one network: who they are, and what they tell one another.

`torchrun` starts them, on one machine or on several. Each has all of the network and works on its
part of every batch: gradients and results are those of one process with the same batches, but for
BatchNorm, whose batch is the whole one on GPUs alone. A process that is alone is the first of one,
and nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from itertools import count
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int64
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")

# The others wait while the first reads a whole data set. Whoever waits for a process that has ended
# learns it at once; this is for one that can no longer be reached.
_TIMEOUT = timedelta(hours=2)
_groups = count()


@contextmanager
def init_group(
    device: str | torch.device = "cpu", world: int | None = None
) -> Iterator[torch.device]:
    """The processes that torchrun started work together as long as the context lasts.

    Gives this process's device: with "cuda" each process of a machine has a GPU of its own. CPUs
    are connected by gloo, GPUs by NCCL.

    Args:
        world: how many processes there should be.

    Raises:
        ValueError: for another number of processes, for fewer GPUs than processes, and for the GPU
            of one process as the device of several.
    """
    device, started = torch.device(device), int(os.environ.get("WORLD_SIZE", 1))
    if world not in (None, started):
        raise ValueError(
            f"world is {world}, but {started} processes were started; start as many with torchrun "
            f"--nproc-per-node {world}, or name the number that there is"
        )
    if started == 1:
        yield device
        return
    if device.type == "cuda":
        device = _own_gpu(device)
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store, number, _ = next(dist.rendezvous("env://", timeout=_TIMEOUT))
    # The store outlives a group. In a place of its own, none reads the addresses of the one before.
    store = dist.PrefixStore(f"group {next(_groups)}", store)
    dist.init_process_group(backend, store=store, rank=number, world_size=started, timeout=_TIMEOUT)
    yield device
    dist.destroy_process_group()  # not after an error: the others may never come to it


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if world() > 1 else 0


def is_rank_zero() -> bool:
    """Whether this process is the one that writes files and shows bars."""
    return rank() == 0


class Share(NamedTuple):
    """The clips of a batch that a process works on, and whether they count.

    Where there are fewer clips than processes, some work on a clip that another one has: all have
    to take part whenever something is added up. Such a clip counts nothing, but for BatchNorm.
    """

    clips: Int64[np.ndarray, " m"]
    counts: bool


def share(clips: Int64[np.ndarray, " n"]) -> Share:
    """This process's share of a batch. Every clip counts in one process; the first one has some."""
    mine = np.array_split(clips, world())[rank()]
    return Share(mine, True) if len(mine) else Share(clips[:1], False)


def replica(model: nn.Module) -> nn.Module:
    """The network for forward passes in training: behind a backward pass the gradients of its
    parameters are the means over all processes. Its parameters and buffers become the first one's.

    Every parameter must take part in every pass.
    """
    return DistributedDataParallel(model) if world() > 1 else model


def no_sync(replica: nn.Module, last: bool) -> AbstractContextManager:
    """For one of several passes of a step: gradients wait, and are exchanged in the last."""
    return nullcontext() if last or world() == 1 else replica.no_sync()


@torch.no_grad()
def broadcast_buffers(model: nn.Module) -> None:
    """What is no parameter, such as running statistics, becomes that of the first process."""
    if world() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def all_reduce_sum(*values: int | float) -> list[int | float]:
    """The sum of each value over all processes."""
    if world() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(sums)
    return sums.tolist()


def all_reduce_max(value: int) -> int:
    """The largest value of all processes."""
    found = torch.tensor(value)
    if world() > 1:
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def shard(items: Sequence[Value]) -> Sequence[Value]:
    """This process's items, dealt out like cards."""
    return items[rank() :: world()]


def gather(mine: list[Value]) -> list[Value]:
    """What all processes made of the items that were dealt to them, in the order of the items."""
    if world() == 1:
        return mine
    parts: list[list[Value]] = [[] for _ in range(world())]
    dist.all_gather_object(parts, mine)
    return [parts[i % world()][i // world()] for i in range(sum(map(len, parts)))]


def from_rank_zero(make: Callable[[], Value]) -> Value:
    """What the call gives in the first process, which alone makes it. On the CPU."""
    found = [make() if is_rank_zero() else None]
    if world() > 1:
        dist.broadcast_object_list(found, 0, device=torch.device("cpu"))
    return found[0]


@contextmanager
def in_turn() -> Iterator[None]:
    """For what is made once and then found on disk: first one process, then one of each other
    machine, which may have a disk of its own, then the rest.
    """
    turn = 0 if is_rank_zero() else 1 if os.environ.get("LOCAL_RANK") == "0" else 2
    for _ in range(turn):
        all_reduce_sum(0)
    yield
    for _ in range(2 - turn):
        all_reduce_sum(0)


def _own_gpu(device: torch.device) -> torch.device:
    local, here = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device.index is not None:
        raise ValueError(f"device is {device} for several processes; give cuda without a number")
    if local >= here:
        raise ValueError(
            f"process {local} of this machine finds {here} GPUs; start one process for each GPU"
        )
    return torch.device("cuda", local)
