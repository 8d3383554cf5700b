"""Temporal clustering: from t frames to g averaged frames (section 3.3 of the paper).

    dist = hamming_distances(x)             how many signs change between neighbouring frames
    labels = cumulative_clusters(dist, g)   or slope_clusters(dist, g), uniform_clusters(t, g)
    y, sizes = aggregate(x, labels, g)      the mean frame of each cluster

`TemporalClustering` is the three as one layer of a network. All of it is batched over clips and
stays on the device of x.

Clips of different length share a batch when `lengths` says how many frames of each are real; the
others get label -1 and touch nothing. A clip with fewer frames than g gets one cluster per frame,
and its last clusters have size 0. Only without lengths is a number g above t an error.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int64, Num, Shaped
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, pad

Method = Literal["cumulative", "slope", "uniform"]
Empty = Literal["split", "keep"]


def hamming_distances(
    x: Shaped[Tensor, "n t *feature"], lengths: Int64[Tensor, " n"] | None = None
) -> Int64[Tensor, "n t-1"]:
    """How many sign bits differ between neighbouring frames; a bit is x > 0.

    `dist[:, i]` compares frames i and i + 1, and is 0 where one of them is beyond the clip's
    length. x may have any dtype, feature shape and strides; the counts are exact.

    Raises ValueError for x without frames or with NaN, and for lengths outside 1..t.
    Source: H in Eq. 8. Explained in chapter 02_temporal_clustering.
    """
    flat, _ = _flatten(x.detach())
    flat = flat.byte() if x.dtype == torch.bool else flat
    n, t, features = flat.shape
    dist = torch.zeros(n, t - 1, dtype=torch.int64, device=x.device)
    total = torch.zeros((), device=x.device)
    # Eight bits, one byte each, are compared as one int64 word. The differences of up to 255 words
    # are added before their bytes are: no byte passes 255, so none carries into the next. Features
    # go in chunks that a processor's cache holds; an accelerator prefers few and large ones.
    words = max(1, min(255, math.ceil(features / 8)))
    chunk = 2**20 if x.device.type == "cpu" else 2**24
    chunk = min(max(1, chunk // (8 * words * n * t or 1)), math.ceil(features / (8 * words)) or 1)
    positive = flat.new_zeros(n, t, chunk * words * 8)
    bits = torch.zeros_like(positive, dtype=torch.bool)
    for part in flat.split(positive.shape[2], dim=2):
        torch.clamp(part, min=0, out=positive[..., : part.shape[2]])
        positive[..., part.shape[2] :] = 0
        total += positive.sum()  # nothing is below 0, so only NaN in x makes this NaN
        bits.copy_(positive)  # with the clamp twice as fast as a comparison, which is not SIMD
        word = bits.view(torch.int64).unflatten(2, (chunk, words))
        sums = (word[:, 1:] ^ word[:, :-1]).sum(3)
        dist += sums.view(torch.uint8).sum(2)
    if total.isnan():
        raise ValueError(
            f"x has NaN in {int(x.isnan().sum())} of {x.numel()} places; numbers were wanted. Look "
            "for the layer or the training step that made them."
        )
    return dist if lengths is None else dist * _inside(_check_lengths(lengths, n, t), t)[:, 1:]


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
    _check_choice("empty", empty, Empty)
    dist, g, lengths, frame = _prepare(dist, g, lengths)
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
    dist, g, lengths, frame = _prepare(dist, g, lengths)
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
    _, g, lengths, frame = _prepare(torch.zeros_like(t), g, lengths)
    return (g * frame).div(lengths, rounding_mode="floor").masked_fill(frame >= lengths, -1)


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
    flat, restore = _flatten(x)
    _check_count(g)
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


class TemporalClustering(nn.Module):
    """Clusters the frames of each clip and averages them: t frames in, g out; no parameters.

    `forward(x, lengths=None)` gives (y, labels, sizes). Labels are found without gradient, means
    pass it on. `empty` is what cumulative clustering does with empty segments.

    Raises ValueError for an unknown method or empty, for g < 1, and as the functions above do.
    Source: section 3.3, Fig. 2. Explained in chapter 02_temporal_clustering.
    """

    def __init__(self, method: Method, g: int, *, empty: Empty = "split") -> None:
        super().__init__()
        _check_choice("method", method, Method)
        _check_choice("empty", empty, Empty)
        _check_count(g)
        self.method, self.g, self.empty = method, g, empty

    def forward(
        self, x: Float[Tensor, "n t *feature"], lengths: Int64[Tensor, " n"] | None = None
    ) -> tuple[Float[Tensor, "n g *feature"], Int64[Tensor, "n t"], Int64[Tensor, "n g"]]:
        with torch.no_grad():
            if self.method == "uniform":  # does not look at the frames
                n, t, _ = _flatten(x)[0].shape
                labels = uniform_clusters(x.new_zeros(n, t - 1), self.g, lengths=lengths)
            elif self.method == "slope":
                labels = slope_clusters(hamming_distances(x, lengths), self.g, lengths=lengths)
            else:
                dist = hamming_distances(x, lengths)
                labels = cumulative_clusters(dist, self.g, empty=self.empty, lengths=lengths)
        y, sizes = aggregate(x, labels, self.g)
        return y, labels, sizes

    def extra_repr(self) -> str:
        return f"{self.method!r}, g={self.g}, empty={self.empty!r}"


def _flatten(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """x as (n, t, features), and the way back for a result with another t.

    Features come in the order in which they lie in memory: channels-last x is not copied either.
    """
    if x.ndim < 2 or x.shape[1] == 0:
        raise ValueError(f"x is {tuple(x.shape)}; (n, t, *feature) with t >= 1 was wanted.")
    order = sorted(range(2, x.ndim), key=lambda axis: -x.stride(axis))
    ordered = x.permute(0, 1, *order)
    back = [0, 1, *(2 + order.index(axis) for axis in range(2, x.ndim))]
    flat = ordered.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    return flat, lambda y: y.reshape(*y.shape[:2], *ordered.shape[2:]).permute(back)


def _prepare(
    dist: Tensor, g: int | Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Checked distances (n, t-1), 0 beyond a clip; g and lengths (n, 1); frame numbers (1, t)."""
    if dist.ndim != 2:
        raise ValueError(f"dist is {tuple(dist.shape)}; (n, t-1) was wanted, for one clip too.")
    n, t = dist.shape[0], dist.shape[1] + 1
    if not isinstance(g, Tensor):
        _check_count(g)
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
    g = g.minimum(_check_lengths(lengths, n, t))[:, None]
    dist = dist.double() if dist.is_floating_point() else dist.long()
    dist = dist.masked_fill(~_inside(lengths, t)[:, 1:], 0)
    if (dist < 0).any() or not (g[:, 0] * dist.sum(1)).isfinite().all():
        raise ValueError("dist has negative, infinite or NaN values; finite ones >= 0 were wanted.")
    return dist, g, lengths[:, None], torch.arange(t, device=dist.device)[None]


def _inside(lengths: Tensor, t: int) -> Tensor:
    return torch.arange(t, device=lengths.device) < lengths[:, None]


def _check_lengths(lengths: Tensor, n: int, t: int) -> Tensor:
    if lengths.shape != (n,) or lengths.dtype != torch.int64:
        raise ValueError(
            f"lengths are {lengths.dtype} {tuple(lengths.shape)}; int64 ({n},) was wanted."
        )
    if ((lengths < 1) | (lengths > t)).any():
        raise ValueError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}; 1..{t} was wanted, "
            "since that many frames came."
        )
    return lengths


def _check_count(g: int) -> None:
    if not isinstance(g, int) or g < 1:
        raise ValueError(f"g is {g!r}; a whole number of clusters, at least 1, was wanted.")


def _check_choice(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} is {value!r}; one of {get_args(choices)} was wanted.")
