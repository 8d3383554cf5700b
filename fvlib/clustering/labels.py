"""Which cluster each frame belongs to: three ways to cut a clip along time."""

from typing import Literal

import torch
from jaxtyping import Int64, Num
from torch import Tensor
from torch.nn.functional import pad

from fvlib.clustering.checks import check_choice, check_count, check_lengths, inside

Method = Literal["cumulative", "slope", "uniform"]
Empty = Literal["split", "keep"]


def cumulative_clusters(
    dist: Num[Tensor, "n s"],
    g: int | Int64[Tensor, " n"],
    *,
    empty: Empty = "split",
    lengths: Int64[Tensor, " n"] | None = None,
) -> Int64[Tensor, "n s+1"]:
    """Labels that cut the cumulative distance of each clip into g equal segments.

    With C_i the sum of the first i distances, frame i belongs to segment min(g-1, floor(g·C_i /
    C_last)). A jump longer than C_last / g leaves segments empty, of which the paper says nothing:
    `empty="keep"` leaves them so; `empty="split"` moves their starts apart, start_k = min(max(first
    frame of segment k or later, start_{k-1} + 1), t-g+k), so that no cluster is empty. A clip in
    which nothing changes (all distances 0) is split uniformly.

    Integer distances give exact labels, the same on every device. Others are taken as float64: a
    frame that lies on a cut exactly may fall on either side of it by rounding. g is a number or one
    per clip; a clip shorter than g is clustered with its length in place of g.

    Raises ValueError for negative, infinite or NaN distances, g < 1, g > t (a number, without
    lengths), lengths outside 1..t and an unknown `empty`.
    Source: Eq. 8, Fig. 3 (in Eq. 8's text the factor g is missing).
    Explained in chapter 02_temporal_clustering.
    """
    check_choice("empty", empty, Empty)
    dist, g, lengths, frame = prepare(dist, g, lengths)
    position = pad(dist.cumsum(1), (1, 0))
    if position.is_floating_point():
        position = position.cummax(1).values  # float sums made in parallel may fail to ascend
    static = position[:, -1:] == 0
    position, last = position.where(~static, frame), position[:, -1:].where(~static, lengths)
    labels = (g * position).div(last, rounding_mode="floor").long().minimum(g - 1)
    if empty == "split":
        # start_k - k is a running maximum, limited to t - g. Clusters are numbered as frames are,
        # since there cannot be more of them; those from g on start beyond the clip.
        cluster = frame.expand_as(labels).contiguous()
        first = torch.searchsorted(labels, cluster)
        start = cluster + (first - cluster).cummax(1).values.minimum(lengths - g)
        start = start.masked_fill(cluster >= g, frame.shape[1])
        labels = torch.searchsorted(start, cluster, right=True) - 1
    return labels.masked_fill(frame >= lengths, -1)


def slope_clusters(
    dist: Num[Tensor, "n s"],
    g: int | Int64[Tensor, " n"],
    *,
    lengths: Int64[Tensor, " n"] | None = None,
) -> Int64[Tensor, "n s+1"]:
    """Labels that cut each clip at its g-1 largest distances, the earlier first among equal ones.

    No cluster is empty. Distances, g, lengths and errors are as in `cumulative_clusters`.

    Source: section 3.3, Fig. 3 (the text says top-g, the figure cuts at g-1 places, which makes g
    clusters). Explained in chapter 02_temporal_clustering.
    """
    dist, g, lengths, frame = prepare(dist, g, lengths)
    dist = dist.masked_fill(frame[:, 1:] >= lengths, -1)  # padding is cut last, that is never
    order = dist.argsort(dim=1, descending=True, stable=True)
    cut = torch.zeros_like(order).scatter(1, order, (frame[:, :-1] < g - 1).long())
    return pad(cut.cumsum(1), (1, 0)).masked_fill(frame >= lengths, -1)


def uniform_clusters(
    t: int | Num[Tensor, "n s"],
    g: int | Int64[Tensor, " n"],
    *,
    lengths: Int64[Tensor, " n"] | None = None,
) -> Int64[Tensor, "n t"]:
    """Labels that cut each clip into g runs of almost equal length: frame i goes to floor(g·i / t).

    t is a number of frames, for as many clips as lengths or g has entries, or else one; or the
    distances of the clips, of which only the shape counts. No cluster is empty. g, lengths and
    errors are as in `cumulative_clusters`.

    Source: "Ours-uniform" in Table 1. Explained in chapter 02_temporal_clustering.
    """
    if isinstance(t, int):
        if t < 1:
            raise ValueError(f"t is {t}; a clip of at least one frame was wanted.")
        clips = next((v for v in (lengths, g) if isinstance(v, Tensor)), torch.zeros(1))
        t = clips.new_zeros((clips.numel(), t - 1))
    _, g, lengths, frame = prepare(torch.zeros_like(t), g, lengths)
    return (g * frame).div(lengths, rounding_mode="floor").masked_fill(frame >= lengths, -1)


def prepare(
    dist: Tensor, g: int | Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Checked distances (n, t-1), 0 beyond a clip; g and lengths (n, 1); frame numbers (1, t)."""
    if dist.ndim != 2:
        raise ValueError(f"dist is {tuple(dist.shape)}; (n, t-1) was wanted, for one clip too.")
    n, t = dist.shape[0], dist.shape[1] + 1
    if not isinstance(g, Tensor):
        check_count(g)
        if lengths is None and g > t:
            raise ValueError(
                f"g is {g} for clips of t = {t} frames; at most t was wanted. Lower g, load more "
                "frames, or give lengths if clips may be shorter than g."
            )
        g = torch.full((n,), g, device=dist.device)
    elif g.shape != (n,) or g.dtype != torch.int64 or (g < 1).any():
        raise ValueError(f"g is {g}; an int64 of at least 1 was wanted for each of {n} clips.")
    if lengths is None:
        lengths = torch.full((n,), t, device=dist.device)
    g = g.minimum(check_lengths(lengths, n, t))[:, None]
    dist = dist.double() if dist.is_floating_point() else dist.long()
    dist = dist.masked_fill(~inside(lengths, t)[:, 1:], 0)
    if (dist < 0).any() or not (g[:, 0] * dist.sum(1)).isfinite().all():
        raise ValueError("dist has negative, infinite or NaN values; finite ones >= 0 were wanted.")
    return dist, g, lengths[:, None], torch.arange(t, device=dist.device)[None]
