"""What a network costs: multiply-adds by formula and by counting, memory and time measured."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fvlib.contracts import VideoNetwork
from fvlib.models.memory_efficient import saved_activation_bytes
from fvlib.models.shift import DEPTHS


def parameter_count(model: nn.Module) -> int:
    """Numbers that training changes or could change."""
    return sum(p.numel() for p in model.parameters())


def multiply_adds(model: nn.Module, shape: Sequence[int], *, cluster: bool = True) -> int:
    """Multiply-adds of one forward pass on clips of shape (n, t, c, h, w), counted while it runs.

    Convolutions and the last layer count; BatchNorm, ReLU, distances and averages do not, having no
    products to speak of. Papers on video print this number as "FLOPs".

    Source:
        Table 1, column FLOPs.
    """
    first = next(model.parameters())
    was_training = model.training
    model.eval()
    # Random pixels: a clip that stands still would be clustered in another way.
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(0)).to(first.device, first.dtype)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x, cluster=cluster)
    model.train(was_training)
    return counter.get_total_flops() // 2


def resnet_multiply_adds(
    depth: int,
    num_classes: int,
    *,
    t: int,
    g: int | None = None,
    resolution: int = 224,
    width: int = 64,
    in_channels: int = 3,
    stem_pool: bool = True,
) -> int:
    """The same number for `tsm_resnet` by formula: t frames up to layer1, g clusters behind it.

    A convolution costs (channels in) x (channels out) x (kernel) x (places out). g None: no
    clustering.
    """
    kind, counts = DEPTHS[depth]
    expansion = 4 if kind == "bottleneck" else 1
    side = (resolution + 1) // 2
    stem = in_channels * width * 49 * side**2
    if stem_pool:
        side = (side + 1) // 2

    def block(channels: int, before: int) -> int:
        """The convolutions of a block on so many channels of before x before places."""
        if kind == "basic":
            return (channels + planes) * planes * 9 * side**2
        return channels * planes * before**2 + (9 * planes + wide) * planes * side**2

    stages, channels = [], width
    for stage, count in enumerate(counts):
        planes = width * 2**stage
        before, wide = side, planes * expansion
        if stage:
            side = (side + 1) // 2
        shortcut = channels * wide * side**2 if stage or channels != wide else 0
        stages.append(block(channels, before) + shortcut + (count - 1) * block(wide, side))
        channels = wide
    early, *late = stages
    return t * (stem + early) + (t if g is None else g) * (sum(late) + channels * num_classes)


def peak_memory(model: nn.Module, x: Tensor, target: Tensor) -> int:
    """Bytes of activations of one training step on the clips x, at its highest point.

    On a GPU the allocator's peak above what the parameters take; on a CPU the bytes that are kept
    for the backward pass.
    """

    def step() -> Tensor:
        return F.cross_entropy(model(x), target)

    if x.is_cuda:
        before = torch.cuda.memory_allocated(x.device)
        torch.cuda.reset_peak_memory_stats(x.device)
        step().backward()
        peak = torch.cuda.max_memory_allocated(x.device) - before
    else:
        peak = saved_activation_bytes(step, model)
    model.zero_grad(set_to_none=True)
    return peak


def predicted_peak(model: VideoNetwork, shape: Sequence[int]) -> int:
    """Bytes that a training step on clips of shape (n, t, c, h, w) will take, found on g frames.

    Before the clustering step the frames of a chunk count, or all without one; behind it the
    clusters of all clips. Not in it: the clips themselves, weights and the optimiser's state, and
    what libraries take for themselves.
    """
    n, t, *frame = shape
    count = t if model.clustering is None else min(model.clustering.g, t)
    images = torch.zeros(count, *frame, dtype=torch.uint8, device=model.device)
    at_once = n * t if model.chunk is None else min(n * t, model.frames_at_once(frame))
    was_training, chunk = model.training, model.chunk
    model.eval().chunk = None
    whole = saved_activation_bytes(lambda: model(images[None]).sum(), model)
    before = saved_activation_bytes(lambda: model.encode(images).sum(), model)
    model.train(was_training).chunk = chunk
    return at_once * model.bytes_a_frame(frame) + n * (whole - before)


def step_time(step: Callable[[], object], *, repeats: int = 5, warmup: int = 1) -> float:
    """Median seconds of a call, the device's work included."""
    times, gpu = [], torch.cuda.is_available()
    for i in range(warmup + repeats):
        start = time.perf_counter()
        step()
        if gpu:
            torch.cuda.synchronize()
        if i >= warmup:
            times.append(time.perf_counter() - start)
    return float(torch.tensor(times).median())


def memory_now(device: str | torch.device) -> int:
    """Bytes that this process has in memory, or on its GPU; from here on the peak is counted anew.

    Where the operating system does not say what there is now (it is Linux that does), it is the
    most that there has been.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
    return _resident("VmRSS")


def memory_peak(device: str | torch.device) -> int:
    """Most bytes that this process has had in memory, or on its GPU, since `memory_now`."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _resident("VmHWM")


def _resident(name: str) -> int:
    # Not getrusage where it can be helped: there a process inherits the peak of its parent.
    status = Path("/proc/self/status")
    text = status.read_text("utf-8") if status.exists() else ""
    lines = dict(line.split(":", 1) for line in text.splitlines())
    if name in lines:
        return 1024 * int(lines[name].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # no Linux, or an emulated one
    return peak if sys.platform == "darwin" else 1024 * peak
