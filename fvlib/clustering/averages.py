"""The mean frame of each cluster."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from fvlib.clustering.checks import flatten, values_at_once
from fvlib.values import check_whole


def aggregate(
    x: Float[Tensor, "n t *feature"], labels: Int64[Tensor, "n t"], g: int
) -> tuple[Float[Tensor, "n g *feature"], Int64[Tensor, "n g"]]:
    """The mean frame of each of g clusters, and how many frames it has.

    Frames with label -1 count nowhere; a cluster without frames is zero and has size 0. A cluster
    of one frame is that frame exactly. Differentiable in x, once: a frame receives its cluster's
    gradient divided by the size. y has the dtype of x, under autocast too; means are found in
    float32 at least and rounded once. NaN or infinity in a frame stays in its cluster.

    Raises:
        ValueError: for x that is not float, and labels outside -1..g-1 or of the wrong shape.

    Source:
        "g average activations for each video", section 4.
    """
    flat, restore = flatten(x)
    check_whole("g", g)
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
    """How many frames each of g clusters has; frames with label -1 count nowhere."""
    return (labels[:, None] == torch.arange(g, device=labels.device)[:, None]).sum(2)


class _Mean(torch.autograd.Function):
    """The means, and a gradient for which no frame is looked at."""

    @staticmethod
    def forward(flat: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
        # The clusters of all clips are bags of frames, one behind the other; frames to leave out
        # sort behind the last.
        bags = _bags(labels, sizes).masked_fill(labels < 0, sizes.numel())
        order = bags.flatten().argsort(stable=True)[: int(sizes.sum())]
        count = sizes.flatten()
        starts, divisors = count.cumsum(0) - count, count.clamp(min=1)[:, None]
        # Of 16-bit floats the sums would be rounded too: they are float32, some features at a time.
        exact = flat.dtype in (torch.float32, torch.float64)
        parts = 1 if exact else max(1, flat.numel() // values_at_once(flat.device))
        means = [
            embedding_bag(order, part if exact else part.float(), starts, mode="sum")
            .div_(divisors)
            .to(flat.dtype)
            for part in flat.flatten(0, 1).tensor_split(parts, 1)
        ]
        return torch.cat(means, 1).unflatten(0, sizes.shape)

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


def _bags(labels: Tensor, sizes: Tensor) -> Tensor:
    """The cluster of every frame among those of all clips."""
    n, g = sizes.shape
    return labels + g * torch.arange(n, device=labels.device)[:, None]
