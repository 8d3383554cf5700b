"""Memory of a training step: what it keeps, what is free, and how many frames fit at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

MOST = {"cpu": 128, "cuda": 256}  # frames of a chunk; with more a device is hardly faster


def kept_bytes(step: Callable[[], Tensor], exclude: nn.Module | None = None) -> int:
    """Bytes that the forward pass keeps for the backward pass: the activations of a training step.

    step gives the loss. Every storage counts once, however many tensors look into it, and what the
    gradient does not need is not counted. The parameters of `exclude` are left out.
    Source: Table 1, column Runtime Mem.
    Explained in chapter 04_network.
    """
    seen: dict[int, int] = {}
    own = set()
    if exclude is not None:
        own = {t.untyped_storage().data_ptr() for t in (*exclude.parameters(), *exclude.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = step()
    # The graph is alive until here, so that no address was used twice.
    del loss
    return sum(seen.values())


def bytes_per_frame(layers: Callable[[Tensor], Tensor], frame: Shaped[Tensor, "1 c h w"]) -> int:
    """Bytes that one more frame needs in a training step of layers that see frames one by one.

    What is kept for the backward pass, from two frames and from one, so that what does not hang on
    their number falls out; and, twice, the output, for the gradients on their way back.
    Explained in chapter 11_any_length.
    """
    output = 0

    def step(frames: int) -> Tensor:
        nonlocal output
        y = layers(frame.expand(frames, -1, -1, -1).contiguous())
        output = y.nbytes // frames
        return y.sum()

    one, two = (kept_bytes(lambda count=count: step(count)) for count in (1, 2))
    return two - one + 2 * output


def free_bytes(device: torch.device) -> int:
    """Memory that could be taken now: of the GPU, or what the operating system says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    info = Path("/proc/meminfo")
    if info.exists():
        lines = dict(line.split(":") for line in info.read_text("utf-8").splitlines())
        return 1024 * int(lines["MemAvailable"].split()[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def chunk_that_fits(needed: int, device: torch.device, budget: int | None = None) -> int:
    """How many frames of `needed` bytes each are worked on at once: at least 1.

    budget: bytes that they may take; None is a quarter of what is free.
    Explained in chapter 11_any_length.
    """
    budget = free_bytes(device) // 4 if budget is None else budget
    return max(1, min(budget // max(1, needed), MOST.get(device.type, 128)))
