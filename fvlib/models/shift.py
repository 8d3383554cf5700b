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
    fold = x.shape[1] // fraction
    # One frame of zeros behind the last: the neighbour of those that have none.
    moving = F.pad(x[:, : 2 * fold], (0, 0, 0, 0, 0, 0, 0, 1))
    from_next = moving[:, :fold].index_select(0, frames.after)
    from_last = moving[:, fold:].index_select(0, frames.before)
    return torch.cat([from_next, from_last, x[:, 2 * fold :]], dim=1)
