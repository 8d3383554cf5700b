"""Which cluster each frame belongs to: the functions that cut clips, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int64, Num
from torch import Tensor
from torch.nn.functional import pad

from fvlib.clustering import METHOD_NAMES
from fvlib.clustering.checks import FLOATS, check_lengths, check_tensor, flatten, inside
from fvlib.contracts import Counts, Labeling, Lengths
from fvlib.values import check_choice, check_whole

EMPTY = ("split", "keep")  # what cumulative clustering does with empty segments
_FEATURES = 2**14  # of which products are added up in single precision


def cumulative_clusters(
    dist: Num[Tensor, "n s"], g: Counts, *, empty: str = "split", lengths: Lengths = None
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

    Raises:
        ValueError: for negative, infinite or NaN distances, g < 1, g > t (a number, without
            lengths), lengths outside 1..t and an unknown `empty`.

    Source:
        Eq. 8, Fig. 3 (in Eq. 8's text the factor g is missing).
    """
    check_choice("empty", empty, EMPTY)
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
    dist: Num[Tensor, "n s"], g: Counts, *, lengths: Lengths = None
) -> Int64[Tensor, "n s+1"]:
    """Labels that cut each clip at its g-1 largest distances, the earlier first among equal ones.

    No cluster is empty. Distances, g, lengths and errors are as in `cumulative_clusters`.

    Source:
        Section 3.3, Fig. 3 (the text says top-g, the figure cuts at g-1 places, which makes g
        clusters).
    """
    dist, g, lengths, frame = prepare(dist, g, lengths)
    dist = dist.masked_fill(frame[:, 1:] >= lengths, -1)  # padding is cut last, that is never
    order = dist.argsort(dim=1, descending=True, stable=True)
    cut = torch.zeros_like(order).scatter(1, order, (frame[:, :-1] < g - 1).long())
    return pad(cut.cumsum(1), (1, 0)).masked_fill(frame >= lengths, -1)


def uniform_clusters(
    t: int | Num[Tensor, "n s"], g: Counts, *, lengths: Lengths = None
) -> Int64[Tensor, "n t"]:
    """Labels that cut each clip into g runs of almost equal length: frame i goes to floor(g·i / t).

    t is a number of frames, for as many clips as lengths or g has entries, or else one; or the
    distances of the clips, of which only the shape counts. No cluster is empty. g, lengths and
    errors are as in `cumulative_clusters`.

    Source:
        "Ours-uniform" in Table 1.
    """
    if isinstance(t, int):
        check_whole("t", t)
        clips = next((v for v in (lengths, g) if isinstance(v, Tensor)), torch.zeros(1))
        t = clips.new_zeros((clips.numel(), t - 1))
    _, g, lengths, frame = prepare(torch.zeros_like(t), g, lengths)
    return (g * frame).div(lengths, rounding_mode="floor").masked_fill(frame >= lengths, -1)


def optimal_clusters(
    x: Float[Tensor, "n t *feature"], g: Counts, *, lengths: Lengths = None
) -> Int64[Tensor, "n t"]:
    """Labels of the g segments whose activations are closest to their mean: the best there are.

    Of all ways to cut a clip into g segments, these have the least sum of squared distances from
    the frames to the mean of their segment: the ceiling of what a grouping can give. No cluster is
    empty.

    Args:
        x: the activations; other arguments and errors are as in `cumulative_clusters`, and
            ValueError for activations that are not finite.

    Source:
        Bellman, "On the Approximation of Curves by Line Segments" (1961), for the dynamic
        programming.
    """
    check_tensor("x", x, "(n, t, *feature)", dtypes=FLOATS)
    flat, _ = flatten(x.detach())
    if lengths is not None:
        mask = inside(check_lengths(lengths, *flat.shape[:2]), flat.shape[1])
        flat = flat.masked_fill(~mask[..., None], 0)
    squares = _squared_distances(flat)
    if not squares.isfinite().all():
        raise ValueError("x has infinite or NaN values, or very large ones; finite were wanted.")
    return least_squares_clusters(squares, g, lengths=lengths)


def least_squares_clusters(
    squares: Num[Tensor, "n t t"], g: Counts, *, lengths: Lengths = None
) -> Int64[Tensor, "n t"]:
    """As `optimal_clusters`, from the squared distances of all pairs of frames.

    Of cuts that are as good but for rounding those with the earliest first cut are taken, of these
    those with the earliest second one, and so on. g, lengths and errors are as there.
    """
    n, t, _ = squares.shape
    _, g, lengths, _ = prepare(squares.new_zeros(n, t - 1), g, lengths)
    # Frames i..j are at a summed squared distance of (all their pairs' squares) / (2 * length)
    # from their mean; the pairs come from corners of the table of sums.
    table = pad(squares.double(), (1, 0, 1, 0)).cumsum(1).cumsum(2)
    corner = table.diagonal(dim1=1, dim2=2)
    pairs = corner[:, None, :] - table - table.mT + corner[:, :, None]  # [:, i, j]: frames i..j-1
    place = torch.arange(t + 1, device=squares.device)
    length = place[None, :] - place[:, None]
    cost = (pairs.clamp(min=0) / (2 * length.clamp(min=1))).masked_fill(length < 1, torch.inf)
    end = lengths[:, :, None]
    rest, cuts = cost.gather(2, end.expand(n, t + 1, 1))[:, :, 0], []  # from each frame on, in one
    alike = 4 * t * torch.finfo(torch.float64).eps * rest[:, :1]  # what rounding does to a cost
    for _ in range(int(g.max()) - 1 if n else 0):
        whole = cost + rest[:, None, :]  # a segment up to each frame, and the rest from there
        rest = whole.amin(2)
        cuts.append((whole <= (rest + alike)[:, :, None]).byte().argmax(2))
    labels = torch.zeros(n, t, dtype=torch.int64, device=squares.device)
    start = torch.zeros(n, 1, dtype=torch.int64, device=squares.device)
    for k in range(len(cuts), 0, -1):  # k cuts are left, in clips of more clusters than that
        start = torch.where(g > k, cuts[k - 1].gather(1, start), start)
        labels += (place[:t] >= start).long() * (g > k)
    return labels.masked_fill(place[:t] >= lengths, -1)


def cumulative_scores(dist: Num[Tensor, "n s"], lengths: Lengths = None) -> Float64[Tensor, "n s"]:
    """What a further cluster is worth: total / 1, total / 2, ... total / (t-1), descending.

    The quotients of different integers below 2^52 / t stay different when rounded.
    """
    dist, _, lengths, frame = prepare(dist, 1, lengths)
    return _quotients(dist.sum(1, keepdim=True), lengths, frame)


def slope_scores(dist: Num[Tensor, "n s"], lengths: Lengths = None) -> Float64[Tensor, "n s"]:
    """What a further cluster is worth: the distances themselves, descending."""
    dist, *_ = prepare(dist, 1, lengths)
    return dist.double().sort(dim=1, descending=True).values


def uniform_scores(dist: Num[Tensor, "n s"], lengths: Lengths = None) -> Float64[Tensor, "n s"]:
    """What a further cluster is worth: t / 1, t / 2, ... t / (t-1), descending."""
    _, _, lengths, frame = prepare(torch.zeros_like(dist), 1, lengths)
    return _quotients(lengths, lengths, frame)


def _quotients(total: Tensor, lengths: Tensor, frame: Tensor) -> Tensor:
    return (total.double() / frame[:, 1:]).masked_fill(frame[:, 1:] >= lengths, 0)


def _squared_distances(flat: Tensor) -> Tensor:
    """All pairs of frames in (n, t, features), in float64; frames of a still clip are at 0."""
    n, t, _ = flat.shape
    total = torch.zeros(n, t, t, dtype=torch.float64, device=flat.device)
    with torch.autocast(flat.device.type, enabled=False):
        for part in flat.split(_FEATURES, dim=2):
            part = part.to(torch.promote_types(part.dtype, torch.float32))
            part = part - part[:, :1]  # near zero for clips that change little
            products = (part @ part.mT).double()
            square = products.diagonal(dim1=1, dim2=2)
            total += square[:, :, None] + square[:, None, :] - products - products.mT
    return total.clamp_(min=0)


def prepare(
    dist: Tensor, g: int | Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Checked distances (n, t-1), 0 beyond a clip; g and lengths (n, 1); frame numbers (1, t)."""
    check_tensor("dist", dist, "(n, t-1)", ndim=2)
    n, t = dist.shape[0], dist.shape[1] + 1
    if not isinstance(g, Tensor):
        check_whole("g", g)
        if lengths is None and g > t:
            raise ValueError(
                f"g is {g} for clips of t = {t} frames; at most t was wanted. Lower g, load more "
                "frames, or give lengths if clips may be shorter than g."
            )
        g = torch.full((n,), min(g, t), device=dist.device)
    if g.shape != (n,) or g.dtype != torch.int64 or (g < 1).any():
        raise ValueError(f"g is {g}; an int64 of at least 1 was wanted for each of {n} clips.")
    if lengths is None:
        lengths = torch.full((n,), t, device=dist.device)
    g = g.minimum(check_lengths(lengths, n, t))[:, None]
    dist = dist.double() if dist.is_floating_point() else dist.long()
    dist = dist.masked_fill(~inside(lengths, t)[:, 1:], 0)
    if not ((dist >= 0) & dist.isfinite()).all():
        raise ValueError("dist has negative, infinite or NaN values; finite ones >= 0 were wanted.")
    return dist, g, lengths[:, None], torch.arange(t, device=dist.device)[None]


@dataclass(frozen=True)
class Method:
    """A `Labeling` made of functions.

    Args:
        cut: (seen, g, lengths=...) -> labels.
        score: (dist, lengths) -> what further clusters are worth, None for a method whose clips all
            get g. Other fields as in `Labeling`.
    """

    name: str
    cut: Callable[..., Tensor]
    needs: Literal["nothing", "distances", "activations"]
    score: Callable[..., Tensor] | None = None
    may_be_empty: bool = False

    @property
    def adaptive(self) -> bool:
        return self.score is not None

    def labels(self, seen: Tensor, g: int | Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.cut(seen, g, lengths=lengths)

    def scores(self, seen: Tensor, lengths: Tensor | None = None) -> Tensor:
        if self.score is None:
            raise ValueError(
                f"method {self.name!r} cuts every clip into g; it has no scores by which clips get "
                "different numbers of clusters. Leave adaptive out, or take another method."
            )
        return self.score(seen, lengths)


_KNOWN = (
    Method("cumulative", cumulative_clusters, "distances", cumulative_scores),
    Method("slope", slope_clusters, "distances", slope_scores),
    Method("uniform", uniform_clusters, "nothing", uniform_scores),
    Method("optimal", optimal_clusters, "activations"),
)
METHODS = {method.name: method for method in _KNOWN}


def labeling_of(method: str | Labeling, empty: str = "split") -> Labeling:
    """The labeling of a name, or one that was given as it is.

    Args:
        empty: "keep" is the cumulative rule with the empty segments of the paper's formula.

    Raises:
        ValueError: for an unknown name or empty, and for "keep" of a rule without empty segments.
    """
    check_choice("empty", empty, EMPTY)
    if isinstance(method, Labeling) and not isinstance(method, type):
        found = method
    else:
        check_choice("method", method, METHOD_NAMES)
        found = METHODS[str(method)]
    if empty == "split":
        return found
    if found != METHODS["cumulative"]:
        raise ValueError(
            f"empty is {empty!r} for method {found.name!r}; it says what 'cumulative' does with "
            "empty segments, and other methods have none. Leave it out."
        )
    cut = partial(cumulative_clusters, empty=empty)
    return replace(METHODS["cumulative"], cut=cut, may_be_empty=True)
