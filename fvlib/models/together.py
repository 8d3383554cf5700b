"""BatchNorm over a batch of which several processes have a part each.

Each channel's mean and variance are those of the whole batch, whatever the parts' sizes, and so is
the gradient. torch's SyncBatchNorm refuses CPU tensors and cannot leave out the clip of a process
that has no part; this one is the same on CPUs and GPUs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable


def gathered(
    mean: Float[Tensor, " c"], var: Float[Tensor, " c"], count: int
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"], Float[Tensor, ""]]:
    """Mean, variance and number of the values of all processes, from those of each.

    Explained in chapter 05_more_frames.
    """
    mine = torch.cat([mean, var, mean.new_tensor([count])])
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    means, variances, counts = torch.stack(parts).split([len(mean), len(var), 1], 1)
    total = counts.sum()
    shares = counts / total
    mean = (shares * means).sum(0)
    return mean, (shares * (variances + (means - mean) ** 2)).sum(0), total


def total(count: int) -> int:
    """The sum of a number over all processes. Explained in chapter 05_more_frames."""
    found = torch.tensor(count)
    dist.all_reduce(found)
    return int(found)


class Normalised(torch.autograd.Function):
    """A part, normalised with mean and variance of the whole batch, `count` values a channel.

    The loss must be the sum of the processes' losses, each in the same units. idle: whether this
    part is none of the batch; then no gradient comes from the mean and the variance.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mean, var, count, eps, idle) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.idle = eps, idle
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, var, count = ctx.saved_tensors
        # With mean and variance as constants first.
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, var, None, None, False, ctx.eps, [True] * 3
        )
        sums = torch.stack([of_bias, of_weight])
        dist.all_reduce(sums)
        if not ctx.idle:
            # Of y = w z + b, z = (x - mean) s, each x moves mean and variance of all:
            # dx = w s (dy - mean(dy) - z mean(dy z)); sums are those of dy and of dy z.
            std = (var + ctx.eps).rsqrt()
            by_mean, by_z = sums / count * (weight * std)
            slope = by_z * std
            shape = [1, -1, *[1] * (x.ndim - 2)]
            back = x * slope.view(shape) + (by_mean - mean * slope).view(shape)
            of_x = of_x - back.to(of_x.dtype)
        return of_x, of_weight, of_bias, None, None, None, None, None
