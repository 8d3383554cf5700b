"""The mean frame of each cluster."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from fvlib.clustering.checks import check_count, flatten

LARGE = 2**14  # features; below that, a call for each cluster costs more than it saves


def aggregate(
    x: Float[Tensor, "n t *feature"], labels: Int64[Tensor, "n t"], g: int
) -> tuple[Float[Tensor, "n g *feature"], Int64[Tensor, "n g"]]:
    """The mean frame of each of g clusters, and how many frames it has.

    Frames with label -1 count nowhere; a cluster without frames is zero and has size 0. A cluster
    of one frame is that frame exactly. Differentiable in x, once: a frame receives its cluster's
    gradient divided by the size. y has the dtype of x, under autocast too; sums are accumulated in
    float32 at least, but for float16 on a CPU. NaN or infinity in a frame stays in its cluster.

    Raises ValueError for x that is not float, and labels outside -1..g-1 or of the wrong shape.
    Source: "g average activations for each video", section 4.
    Explained in chapter 02_temporal_clustering.
    """
    flat, restore = flatten(x)
    check_count(g)
    if not x.is_floating_point():
        raise ValueError(f"x is {x.dtype}; floating point was wanted. Use x.float().")
    if labels.shape != x.shape[:2] or labels.dtype != torch.int64:
        raise ValueError(
            f"labels are {labels.dtype} {tuple(labels.shape)}; one int64 per frame was wanted, "
            f"{tuple(x.shape[:2])}."
        )
    if ((labels < -1) | (labels >= g)).any():
        raise ValueError(
            f"labels run from {int(labels.min())} to {int(labels.max())}; 0..{g - 1} was wanted "
            f"for g = {g}, or -1 for a frame to leave out. Is g that of the labels?"
        )
    sizes = cluster_sizes(labels, g)
    runs = x.device.type == "cpu" and flat.shape[2] >= LARGE
    runs = runs and (labels.masked_fill(labels < 0, g).diff(dim=1) >= 0).all()
    mean = _MeanOfRuns.apply if runs else _mean
    return restore(mean(flat, labels, sizes)), sizes


def cluster_sizes(labels: Int64[Tensor, "n t"], g: int) -> Int64[Tensor, "n g"]:
    """How many frames each of g clusters has; frames with label -1 count nowhere.

    Explained in chapter 02_temporal_clustering.
    """
    return (labels[:, None] == torch.arange(g, device=labels.device)[:, None]).sum(2)


def _mean(flat: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
    """The means for labels in any order."""
    # Clusters are bags of frames, one after another; frames to leave out sort behind the last one.
    # On a CPU this is faster than a product with a one-hot matrix, in the backward pass many times.
    n, g = sizes.shape
    bag = labels + g * torch.arange(n, device=labels.device)[:, None]
    order = bag.masked_fill(labels < 0, n * g).flatten().argsort(stable=True)[: int(sizes.sum())]
    start = sizes.flatten().cumsum(0) - sizes.flatten()
    return embedding_bag(order, flat.flatten(0, 1), start, mode="mean").unflatten(0, (n, g))


class _MeanOfRuns(torch.autograd.Function):
    """The same where each cluster is a run of frames: these are read, and their gradient written,
    in the order in which they lie in memory, once."""

    @staticmethod
    def forward(flat: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
        if flat.dtype not in (torch.float32, torch.float64):
            return _mean(flat, labels, sizes)  # a product of matrices is slow in 16 bits
        y = flat.new_empty(*sizes.shape, flat.shape[2])
        for i, k in (sizes == 0).nonzero().tolist():
            y[i, k] = 0
        for i, k, run in _runs(sizes):
            weights = flat.new_full((run.stop - run.start,), 1 / (run.stop - run.start))
            torch.mv(flat[i, run].t(), weights, out=y[i, k])
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.t, ctx.sizes = inputs[0].shape[1], inputs[2]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        found = grad.new_empty(len(grad), ctx.t, grad.shape[2])
        for i, k, run in _runs(ctx.sizes):
            torch.div(grad[i, k], run.stop - run.start, out=found[i, run.start])
            found[i, run.start + 1 : run.stop] = found[i, run.start]
        for i, used in enumerate(ctx.sizes.sum(1).tolist()):
            found[i, used:] = 0
        return found, None, None


def _runs(sizes: Tensor) -> Iterator[tuple[int, int, slice]]:
    """Clip, cluster and frames of every cluster that has some."""
    for i, row in enumerate(sizes.tolist()):
        start = 0
        for k, size in enumerate(row):
            if size:
                yield i, k, slice(start, start + size)
            start += size
