"""The temporal shift of TSM: a part of each frame's channels comes from its neighbours in time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Num
from torch import Tensor

from fvlib.models.frames import Frames


def temporal_shift(
    x: Num[Tensor, "m c h w"], frames: Frames, *, fraction: int = 8
) -> Num[Tensor, "m c h w"]:
    """Shift channels of folded frames along time.

    Of c channels the first c // fraction are taken from the next frame, the second c // fraction
    from the frame before, and the rest stay. Where the neighbour does not exist (the ends of a
    clip, an empty cluster) the channels are zero. Nothing passes from one clip to another, whatever
    the batch.

    Source: Lin et al., TSM (ICCV 2019), section 4, the shift that Fig. 2 of the paper builds on.
    Explained in chapter 04_network.
    """
    return _Shift.apply(x, x.shape[1] // fraction, frames.after, frames.before)


class _Shift(torch.autograd.Function):
    """One copy of x with the moved channels written into it; the gradient moves the other way.

    Put together from differentiable slices, the backward pass fills and adds up a tensor of the
    size of x for each slice, which is a fifth of a training step of a narrow network.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, fold: int, after: Tensor, before: Tensor) -> Tensor:
        out = x.clone()
        out[:, :fold] = _take(x[:, :fold], after)
        out[:, fold : 2 * fold] = _take(x[:, fold : 2 * fold], before)
        return out

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.fold, after, before = inputs
        ctx.save_for_backward(after, before)

    @staticmethod
    def backward(ctx, grad: Tensor):
        after, before = ctx.saved_tensors
        return _Shift.apply(grad, ctx.fold, before, after), None, None, None


def _take(x: Tensor, place: Tensor) -> Tensor:
    # One frame of zeros behind the last: the neighbour of those that have none.
    return F.pad(x, (0, 0, 0, 0, 0, 0, 0, 1)).index_select(0, place)
