"""Kernels for a GPU: each program has a block of features of some frames.

Triton, which comes with torch for GPUs, compiles them when they are first called. They do what
`fvlib.clustering.compiled.cpu` does.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from fvlib.clustering.compiled import known

SUMS = {
    **dict.fromkeys((torch.float16, torch.bfloat16, torch.float32), tl.float32),
    torch.float64: tl.float64,
}
_BLOCK = 1024  # features of a program
_FRAMES = 32  # of a program that counts; it reads one more


def count_changes(
    frames: Shaped[Tensor, "m features"],
) -> tuple[Int64[Tensor, " m"], Shaped[Tensor, ""]]:
    """As `cpu.count_changes`. Explained in chapter 02_temporal_clustering."""
    frames = known(frames)
    m, features = frames.shape
    changes = torch.zeros(m, dtype=torch.int64, device=frames.device)
    nan = torch.zeros((), dtype=torch.int32, device=frames.device)
    grid = (triton.cdiv(m, _FRAMES), triton.cdiv(features, _BLOCK))
    with torch.cuda.device_of(frames):
        _count_changes[grid](frames, changes, nan, m, features, SUMS[frames.dtype], _FRAMES, _BLOCK)
    return changes, nan > 0


def mean_of_runs(
    frames: Float[Tensor, "m features"], starts: Int64[Tensor, " k"], stops: Int64[Tensor, " k"]
) -> Float[Tensor, "k features"]:
    """As `cpu.mean_of_runs`. Explained in chapter 02_temporal_clustering."""
    frames, features = frames.contiguous(), frames.shape[1]
    means = frames.new_empty(len(starts), features)
    grid = (len(starts), triton.cdiv(features, _BLOCK))
    with torch.cuda.device_of(frames):
        _mean_of_runs[grid](frames, starts, stops, means, features, SUMS[frames.dtype], _BLOCK)
    return means


# no_type_check: what is compiled must be the function itself, not one that checks its arguments.
@triton.jit
@no_type_check
def _count_changes(
    frames,
    changes,
    nan,
    m,
    features,
    NUMBER: tl.constexpr,
    FRAMES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    feature = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = feature < features
    start = tl.program_id(0) * FRAMES
    row = frames + tl.maximum(start - 1, 0).to(tl.int64) * features
    before = tl.load(row + feature, inside, 0).to(NUMBER) > 0
    nans = tl.zeros([BLOCK], tl.int32)
    for i in range(start, tl.minimum(start + FRAMES, m)):
        x = tl.load(frames + tl.cast(i, tl.int64) * features + feature, inside, 0).to(NUMBER)
        sign = x > 0
        tl.atomic_add(changes + i, tl.sum((sign != before).to(tl.int64)))
        nans += (x != x).to(tl.int32)
        before = sign
    tl.atomic_max(nan, tl.max(nans))


@triton.jit
@no_type_check
def _mean_of_runs(
    frames, starts, stops, means, features, NUMBER: tl.constexpr, BLOCK: tl.constexpr
):
    feature = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = feature < features
    k = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(starts + k), tl.load(stops + k)
    total = tl.zeros([BLOCK], NUMBER)
    for i in range(start, stop):
        total += tl.load(frames + i * features + feature, inside, 0).to(NUMBER)
    size = stop - start
    mean = total / tl.maximum(size, 1).to(NUMBER)
    total = tl.where(size > 1, mean, total)  # one frame stays exact
    tl.store(means + k * features + feature, total.to(means.dtype.element_ty), inside)
