"""The temporal shift of TSM: a part of each frame's channels comes from its neighbours in time."""

from __future__ import annotations

import torch
from jaxtyping import Num
from torch import Tensor

from fvlib.clustering.checks import check_count, check_tensor
from fvlib.models.frames import Frames


def temporal_shift(
    x: Num[Tensor, "m c h w"], frames: Frames, *, fraction: int = 8
) -> Num[Tensor, "m c h w"]:
    """Shift channels of folded frames along time.

    Of c channels the first c // fraction are taken from the next frame, the second c // fraction
    from the frame before, and the rest stay. Where the neighbour does not exist (the ends of a
    clip, an empty cluster) the channels are zero. Nothing passes from one clip to another, whatever
    the batch.

    Raises ValueError for x that is not (m, c, h, w) with the m images of `frames`, and for a
    fraction that is no whole number of at least 2.
    Source: Lin et al., TSM (ICCV 2019), section 4, the shift that Fig. 2 of the paper builds on.
    Explained in chapter 04_network.
    """
    if not isinstance(frames, Frames):
        raise ValueError(f"frames is a {type(frames).__name__}; `Frames` of the clips were wanted")
    check_tensor("x", x, "(m, c, h, w)", ndim=4, meta=frames.mask.is_meta)
    if len(x) != frames.images:
        raise ValueError(
            f"x has {len(x)} images; as many as `frames`, {frames.images}, were wanted"
        )
    check_count(fraction, "fraction", "parts")
    if fraction == 1:
        raise ValueError("fraction is 1; 2 or more were wanted, for each way takes one part")
    fold = x.shape[1] // fraction
    return _Shift.apply(x, slice(fold), slice(fold, 2 * fold), frames.first, frames.last)


class _Shift(torch.autograd.Function):
    """One copy of x with the moved channels written into it; the gradient moves the other way.

    Put together from differentiable slices, the backward pass fills and adds up a tensor of the
    size of x for each slice, which is a fifth of a training step of a narrow network.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, of_next: slice, of_before: slice, first: Tensor, last: Tensor) -> Tensor:
        out = x.clone()
        out[:-1, of_next] = x[1:, of_next]
        out[1:, of_before] = x[:-1, of_before]
        out[:, of_next].index_fill_(0, last, 0)
        out[:, of_before].index_fill_(0, first, 0)
        return out

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.of_next, ctx.of_before, *ends = inputs
        ctx.save_for_backward(*ends)

    @staticmethod
    def backward(ctx, grad: Tensor):
        ends = ctx.saved_tensors
        return _Shift.apply(grad, ctx.of_before, ctx.of_next, *ends), None, None, None, None
