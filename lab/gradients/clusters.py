"""One gradient for a cluster of frames: how far is it from the gradients of its frames?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Num, Shaped
from torch import Tensor, nn
from torch.linalg import vector_norm

from fvlib.clustering import aggregate
from fvlib.clustering.labels import least_squares_clusters
from fvlib.contracts import VideoNetwork
from fvlib.values import check_whole
from lab.gradients.frames import Setting, check, evaluation_mode, image_terms, layers_of


class ClusterErrors(NamedTuple):
    """How far clusters' gradients are from those of their frames: Euclidean norms in float64."""

    distance: Float[Tensor, "n g"]  # a cluster's single gradient from the sum over its frames
    norm: Float[Tensor, "n g"]  # of that sum
    total: Float[Tensor, " n"]  # of the clip's gradient from the true one: the error of a step
    total_norm: Float[Tensor, " n"]  # of the clip's true gradient
    cosine: Float[Tensor, " n"]  # between those two: 1 for a step in the right direction
    frames_norm: Float[Tensor, " n"]  # of the frames' terms, added up: the same for all clusters


def cluster_gradients(
    model: VideoNetwork,
    x: Shaped[Tensor, "n t c h w"],
    target: Int64[Tensor, " n"],
    labels: Int64[Tensor, "n t"],
    g: int,
    *,
    stage: str | Sequence[str] = "layer3",
    setting: Setting = "clip",
    weighting: Literal["equal", "size"] = "equal",
    residual: Float[Tensor, "n k"] | None = None,
) -> dict[str, Float[Tensor, "n g *weight"]]:
    """Every cluster's term in the weight gradient of a stage: parameter name -> `(n, g, *weight)`.

    The network averages its frames by `labels` behind its first residual stage, in place of its own
    clustering step. Behind that, a cluster's term is its single gradient; before it, where frames
    are still apart, the sum over its frames. A cluster without frames gets 0. Other arguments are
    those of `frame_gradients`; with setting="frame" there is one loss for each cluster, no shift
    and no use for a residual.

    Args:
        weighting: of the clusters in the loss, "equal" as in the released code (1/g), or "size"
            (size/t), the weight that their frames have in the full network.
        residual: the slope of the loss in the clip's logits, in place of that at the clustered
            network's own: with `full_residual` the loss is the same line for both networks, and
            what is left of the error comes from the averaging alone.

    Raises:
        ValueError: for labels outside 0..g-1, and as `frame_gradients`.

    Source:
        Eq. 5, Fig. 6.
    """
    check(model, x, target, setting)
    layers, (n, t) = layers_of(model, stage), x.shape[:2]
    sizes = sum_by_cluster(torch.ones_like(labels), labels, g)
    filled = (sizes > 0).flatten().nonzero().squeeze(1)  # those that the network sees
    averaging = {
        "clustering": GivenClusters(labels, g),
        "chunk": None,  # all images' terms are wanted, so all activations are
        "consensus": "size" if weighting == "size" else "mean",
    }
    share = sizes.double() if weighting == "size" else (sizes > 0).double()
    share = (share / share.sum(1, keepdim=True)).flatten()[filled]

    def loss(logits: Tensor, scores: Tensor) -> Tensor:
        if setting == "frame":
            each = target.repeat_interleave(g)[filled]
            return (share * F.cross_entropy(scores, each, reduction="none")).sum()
        if residual is not None:  # a line: its slope is the same wherever the logits are
            return (residual * logits).sum()
        return F.cross_entropy(logits, target, reduction="sum")

    early = {id(p) for part in model.early for p in part.parameters()}  # they see frames
    early = {name for name, p in model.named_parameters() if id(p) in early}
    found = {}
    with evaluation_mode(model, shift=setting == "clip", **averaging):
        for name, term in image_terms(model, layers, x, loss):
            if name in early:
                found[name] = sum_by_cluster(term.unflatten(0, (n, t)), labels, g)
            else:
                all_of_them = term.new_zeros(n * g, *term.shape[1:]).index_copy(0, filled, term)
                found[name] = all_of_them.unflatten(0, (n, g))
    return found


def cluster_errors(
    frames: Mapping[str, Float[Tensor, "n t ..."]],
    clusters: Mapping[str, Float[Tensor, "n g ..."]],
    labels: Int64[Tensor, "n t"],
) -> ClusterErrors:
    """Distances of the clusters' single gradients from the sums of their frames' gradients.

    All weights together are one long vector.

    Args:
        frames: from `frame_gradients`.
        clusters: from `cluster_gradients` with these labels, at the same stage and in the same
            setting.

    Source:
        Fig. 6.
    """
    squares, dot = [torch.zeros((), dtype=torch.float64)] * 6, 0.0
    for name, term in frames.items():
        one = clusters[name].flatten(2).double()
        true = sum_by_cluster(term, labels, one.shape[1]).flatten(2).double()
        error, step, whole = one - true, one.sum(1), true.sum(1)
        parts = (error, true, error.sum(1), whole, step, term.flatten(2))
        norms = [vector_norm(part, dim=-1, dtype=torch.float64) for part in parts]
        squares = [old + norm**2 for old, norm in zip(squares, norms, strict=True)]
        dot += (step * whole).sum(1)
    distance, norm, total, total_norm, step_norm, frame_norm = (square.sqrt() for square in squares)
    cosine = dot / (step_norm * total_norm)
    return ClusterErrors(distance, norm, total, total_norm, cosine, frame_norm.sum(1))


def sum_by_cluster(
    values: Num[Tensor, "n t *feature"], labels: Int64[Tensor, "n t"], g: int
) -> Num[Tensor, "n g *feature"]:
    """The sum of the frames of each cluster, 0 for a cluster without frames.

    Raises:
        ValueError: for labels of another shape or outside 0..g-1.
    """
    check_whole("g", g)
    if labels.shape != values.shape[:2] or (labels < 0).any() or (labels >= g).any():
        raise ValueError(
            f"labels are {tuple(labels.shape)}, from {int(labels.min())} to {int(labels.max())}; "
            f"0..{g - 1} was wanted for each of {tuple(values.shape[:2])} frames"
        )
    n = len(labels)
    place = (labels + g * torch.arange(n, device=labels.device)[:, None]).flatten()
    sums = values.new_zeros(n * g, *values.shape[2:]).index_add(0, place, values.flatten(0, 1))
    return sums.unflatten(0, (n, g))


def cluster_spread(
    distances: Num[Tensor, "n t t"], labels: Int64[Tensor, "n t"]
) -> Float[Tensor, " n"]:
    """Sum of squared distances of a clip's frames to the mean of their cluster, in float64.

    Args:
        distances: Euclidean, between all pairs of frames.
    """
    together = (labels[:, :, None] == labels[:, None, :]).double()
    return (together * distances.double() ** 2 / (2 * together.sum(2, keepdim=True))).sum((1, 2))


def random_clusters(
    n: int, t: int, g: int, *, generator: torch.Generator | None = None
) -> Int64[Tensor, "n t"]:
    """Labels of n clips cut at g-1 random places, all equally likely: what no look at frames gives.

    Raises:
        ValueError: for g outside 1..t.
    """
    if not 1 <= g <= t:
        raise ValueError(f"g is {g} for clips of t = {t} frames; 1..{t} was wanted")
    cut = torch.rand(n, t - 1, generator=generator).argsort(dim=1) < g - 1
    return F.pad(cut.long().cumsum(1), (1, 0))


def best_clusters(distances: Num[Tensor, "n t t"], g: int) -> Int64[Tensor, "n t"]:
    """Labels of the segments whose frames are closest to their mean, by dynamic programming.

    Of all ways to cut a clip into g segments, these have the least sum of squared distances from
    the frames to the mean of their segment; of equal cuts the earliest. With `gradient_distances`
    of the true gradients this is the floor of `cluster_spread`, which no method can know while it
    trains.

    Args:
        distances: Euclidean, between all pairs of frames, of whatever is to be close.

    Raises:
        ValueError: for g outside 1..t.
    """
    return least_squares_clusters(distances.double() ** 2, g)


class GivenClusters(nn.Module):
    """In place of a clustering step: frames are averaged by labels that are there already.

    Any of the g clusters may be without frames.
    """

    may_be_empty = True

    def __init__(self, labels: Tensor, g: int) -> None:
        super().__init__()
        self.labels, self.g = labels, g

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        y, sizes = aggregate(x, self.labels, self.g)
        return y, self.labels, sizes
