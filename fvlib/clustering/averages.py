"""The mean frame of each cluster."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from fvlib.clustering.checks import check_count, flatten
from fvlib.clustering.compiled import compiled_for


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
    return restore(_Mean.apply(flat, labels, sizes)), sizes


def cluster_sizes(labels: Int64[Tensor, "n t"], g: int) -> Int64[Tensor, "n g"]:
    """How many frames each of g clusters has; frames with label -1 count nowhere.

    Explained in chapter 02_temporal_clustering.
    """
    return (labels[:, None] == torch.arange(g, device=labels.device)[:, None]).sum(2)


class _Mean(torch.autograd.Function):
    """The means, and a gradient for which no frame is looked at."""

    @staticmethod
    def forward(flat: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
        last = labels.masked_fill(labels < 0, sizes.shape[1])
        compiled = compiled_for(flat.device)
        if compiled and flat.dtype in compiled.SUMS and (last.diff(dim=1) >= 0).all():
            # Each cluster is a run of frames, as those of all methods are.
            first = flat.shape[1] * torch.arange(len(flat), device=flat.device)[:, None]
            stops = first + sizes.cumsum(1)
            starts, frames = (stops - sizes).flatten(), flat.flatten(0, 1)
            means = compiled.mean_of_runs(frames, starts, stops.flatten())
        else:
            means = _mean_of_bags(flat, labels, sizes)
        return means.unflatten(0, sizes.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        labels, sizes = ctx.saved_tensors
        grad = grad / sizes.clamp(min=1)[:, :, None]
        found = grad.flatten(0, 1).index_select(0, _bags(labels.clamp(min=0), sizes).flatten())
        found.index_fill_(0, (labels < 0).flatten().nonzero().squeeze(1), 0)
        return found.unflatten(0, labels.shape), None, None


def _mean_of_bags(flat: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
    """For labels in any order, on any device: bags of frames, one after another."""
    # Frames to leave out sort behind the last bag.
    bag = _bags(labels, sizes).masked_fill(labels < 0, sizes.numel())
    order = bag.flatten().argsort(stable=True)[: int(sizes.sum())]
    start = sizes.flatten().cumsum(0) - sizes.flatten()
    return embedding_bag(order, flat.flatten(0, 1), start, mode="mean")


def _bags(labels: Tensor, sizes: Tensor) -> Tensor:
    """The cluster of every frame among those of all clips."""
    n, g = sizes.shape
    return labels + g * torch.arange(n, device=labels.device)[:, None]
