"""The clusters of the published code, and its mirrored clips, where they depart from the paper.

Described from the behaviour of its ResNet-18 and ResNet-50 files and written anew. The cumulative
rule there breaks three laws that `fvlib.clustering` obeys: frames after the last flush are in no
cluster, so sizes do not sum to t and the clusters' mean is not the frames' mean; a cluster may be
given twice, so a frame's gradient is not its cluster's gradient / size; and g = t is not the
identity. The slope rule breaks none: it differs in ties only.
"""

import torch
from jaxtyping import Float, Int64, Num
from torch import Tensor

from fvlib import clustering
from fvlib.datasets import transforms


def cumulative_clusters(
    dist: Num[Tensor, "n s"], g: int
) -> tuple[Int64[Tensor, "n s+1"], Int64[Tensor, "n g"]]:
    """The labels of the published cumulative rule, and which cluster fills each of the g outputs.

    Frames join a group while C_k <= count·C_last / g. The first that does not flushes the group and
    starts the next, and count rises by one, even after a jump over several segments: the frames
    behind such a jump then stay alone until count has caught up. The last group is never flushed:
    its frames get label -1, and the cluster before it is repeated until there are g, which is what
    the second result says. Of a static clip the first g frames are taken.

    Compared in float64, as published; dist / features in place of counts repeats its rounding too.
    Raises ValueError for clips on which the published code fails: fewer than two groups flushed, as
    with g = 1 or with all the motion in the last transition.
    Explained in chapter 12_released_code.
    """
    _check(dist, g)
    done = torch.nn.functional.pad(dist.double().cumsum(1), (1, 0))
    step = done[:, -1] / g
    count = torch.ones_like(step)
    labels = torch.zeros_like(done, dtype=torch.int64)
    for k in range(done.shape[1]):  # a frame's group depends on the one before
        count += done[:, k] > step * count
        labels[:, k] = count.long() - 1
    flushed = labels[:, -1:]
    static = step[:, None] == 0
    if ((flushed < min(g, 2)) & ~static).any():
        raise ValueError(
            f"with g = {g} the published rule makes fewer than two clusters of some clip, on which "
            "its code fails; use fvlib.clustering.cumulative_clusters."
        )
    frame = torch.arange(done.shape[1], device=dist.device)
    labels = torch.where(static, frame, labels)
    flushed = torch.where(static, g, flushed)
    return labels.masked_fill(labels >= flushed, -1), frame[:g].minimum(flushed - 1)


def slope_clusters(dist: Num[Tensor, "n s"], g: int) -> Int64[Tensor, "n s+1"]:
    """The labels of the published slope rule: cut at the g-1 largest distances, the later first
    among equal ones.

    Raises ValueError for g = 1 and t other than 32, where the published code divides the sum of
    all frames by 32. Explained in chapter 12_released_code.
    """
    _check(dist, g)
    if g == 1 and dist.shape[1] != 31:
        raise ValueError(
            f"g is 1 and t is {dist.shape[1] + 1}; the published code divides by 32 here. Use "
            "fvlib.clustering.slope_clusters."
        )
    # Read backwards, the later of two equal distances is the earlier one.
    return g - 1 - clustering.slope_clusters(dist.flip(1), g).flip(1)


def aggregate(
    x: Float[Tensor, "n t *feature"], labels: Int64[Tensor, "n t"], source: Int64[Tensor, "n g"]
) -> Float[Tensor, "n g *feature"]:
    """The mean frames of the clusters, repeated as source says.

    Raises ValueError as `fvlib.clustering.aggregate` does. Explained in chapter 12_released_code.
    """
    y, _ = clustering.aggregate(x, labels, source.shape[1])
    return y[torch.arange(len(y), device=y.device)[:, None], source]


class TrainTransform(transforms.TrainTransform):
    """The training crop, which may mirror Move4MNIST as the published code does.

    Half of the clips of class left then show a digit that moves right, and the other way round.
    Only names with "something" or "jester" are left alone there. Explained in chapter
    12_released_code.
    """

    directional = ("something", "jester")


def _check(dist: Tensor, g: int) -> None:
    """Refuses what the rules of the paper refuse too."""
    clustering.slope_clusters(dist, g)
