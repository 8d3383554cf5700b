"""The mean frame of each cluster."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

from fvlib.clustering.checks import check_count, flatten


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
    n = len(labels)
    sizes = (labels[:, None] == torch.arange(g, device=labels.device)[:, None]).sum(2)
    # Clusters are bags of frames, one after another; frames to leave out sort behind the last one.
    # On a CPU this is faster than a product with a one-hot matrix, in the backward pass many times.
    bag = labels + g * torch.arange(n, device=labels.device)[:, None]
    order = bag.masked_fill(labels < 0, n * g).flatten().argsort(stable=True)[: int(sizes.sum())]
    start = sizes.flatten().cumsum(0) - sizes.flatten()
    y = embedding_bag(order, flat.flatten(0, 1), start, mode="mean")
    return restore(y.unflatten(0, (n, g))), sizes
