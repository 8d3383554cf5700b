"""Distances, labels and means as one layer of a network."""

import torch
from jaxtyping import Float, Int64, Num
from torch import Tensor, nn

from fvlib.clustering.adaptive import adaptive_counts, counts_at, threshold_of
from fvlib.clustering.averages import aggregate
from fvlib.clustering.checks import check_choice, check_count, flatten
from fvlib.clustering.distances import hamming_distances
from fvlib.clustering.labels import (
    Empty,
    Method,
    cumulative_clusters,
    slope_clusters,
    uniform_clusters,
)

_MOMENTUM = 0.1  # of the threshold's average, as BatchNorm has it for its statistics


class TemporalClustering(nn.Module):
    """Clusters the frames of each clip and averages them: t frames in, g out; no parameters.

    `forward(x, lengths=None)` gives (y, labels, sizes). Labels are found without gradient, means
    pass it on. `empty` is what cumulative clustering does with empty segments.

    adaptive: g is the mean number of clusters, and a clip in which more changes gets more of them
    (see `adaptive_counts`). y then has as many as the clip that has most, and a clip's last ones
    have size 0. Training shares out the clusters of each batch; `threshold`, a buffer, follows the
    threshold of these batches as a running average with momentum 0.1. In evaluation mode it alone
    says how many clusters a clip gets, so that no clip hangs on those beside it, and the mean is g
    only as far as the clips are like those of training. It is in float64, and infinite before the
    first batch.

    Raises ValueError for an unknown method or empty, for g < 1, in evaluation mode if it is
    adaptive and has seen no batch in training mode, and as the functions above do.
    Source: section 3.3, Fig. 2. Explained in chapter 02_temporal_clustering; adaptive numbers in
    chapter 11_any_length.
    """

    def __init__(
        self, method: Method, g: int, *, empty: Empty = "split", adaptive: bool = False
    ) -> None:
        super().__init__()
        check_choice("method", method, Method)
        check_choice("empty", empty, Empty)
        check_count(g)
        self.method, self.g, self.empty, self.adaptive = method, g, empty, adaptive
        if adaptive:
            infinite = torch.tensor(torch.inf, dtype=torch.float64)
            self.register_buffer("threshold", infinite)

    def forward(
        self, x: Float[Tensor, "n t *feature"], lengths: Int64[Tensor, " n"] | None = None
    ) -> tuple[Float[Tensor, "n g *feature"], Int64[Tensor, "n t"], Int64[Tensor, "n g"]]:
        with torch.no_grad():
            n, t, _ = flatten(x)[0].shape
            dist = hamming_distances(x, lengths) if self.sees_frames else x.new_zeros(n, t - 1)
            labels = self.labels(dist, lengths)
        y, sizes = aggregate(x, labels, self.count(labels))
        return y, labels, sizes

    def labels(
        self, dist: Num[Tensor, "n s"], lengths: Int64[Tensor, " n"] | None = None
    ) -> Int64[Tensor, "n s+1"]:
        """The cluster of every frame, given the distances of neighbours.

        In training mode an adaptive layer's threshold follows: call it once for a batch.
        """
        g = self._counts(dist, lengths) if self.adaptive else self.g
        if self.method == "uniform":
            return uniform_clusters(dist, g, lengths=lengths)
        if self.method == "slope":
            return slope_clusters(dist, g, lengths=lengths)
        return cumulative_clusters(dist, g, empty=self.empty, lengths=lengths)

    def count(self, labels: Int64[Tensor, "n t"]) -> int:
        """How many clusters the output has: g, or as many as the clip that has most."""
        return int(labels.max()) + 1 if self.adaptive else self.g

    @property
    def sees_frames(self) -> bool:
        """Whether labels hang on the distances; those of uniform clusters only on t."""
        return self.method != "uniform"

    @property
    def leaves_holes(self) -> bool:
        """Whether a cluster may be without frames although no clip is shorter than g."""
        return self.empty == "keep" or self.adaptive

    def extra_repr(self) -> str:
        adaptive = ", adaptive=True" if self.adaptive else ""
        return f"{self.method!r}, g={self.g}, empty={self.empty!r}{adaptive}"

    def _counts(self, dist: Tensor, lengths: Tensor | None) -> Tensor:
        options = {"method": self.method, "lengths": lengths}
        old = self.threshold
        if not self.training:
            if old.isinf():
                raise ValueError(
                    "threshold is infinite; a finite one was wanted to say how many clusters a "
                    "clip gets. Show a batch in training mode first, or load a checkpoint that "
                    "has one; float16 cannot hold it."
                )
            return counts_at(dist, old, **options)
        counts = adaptive_counts(dist, self.g, **options)
        new = threshold_of(dist, counts, **options).to(old)
        old.copy_(new.where(old.isinf(), old.lerp(new, _MOMENTUM)))
        return counts
