"""Distances, labels and means as one layer of a network."""

from typing import Literal

import torch
from jaxtyping import Float, Int64, Num
from torch import Tensor, nn

from fvlib.clustering.averages import aggregate
from fvlib.clustering.checks import check_choice, check_count, flatten
from fvlib.clustering.distances import hamming_distances
from fvlib.clustering.labels import Empty, cumulative_clusters, slope_clusters, uniform_clusters

Method = Literal["cumulative", "slope", "uniform"]


class TemporalClustering(nn.Module):
    """Clusters the frames of each clip and averages them: t frames in, g out; no parameters.

    `forward(x, lengths=None)` gives (y, labels, sizes). Labels are found without gradient, means
    pass it on. `empty` is what cumulative clustering does with empty segments.

    Raises ValueError for an unknown method or empty, for g < 1, and as the functions above do.
    Source: section 3.3, Fig. 2. Explained in chapter 02_temporal_clustering.
    """

    def __init__(self, method: Method, g: int, *, empty: Empty = "split") -> None:
        super().__init__()
        check_choice("method", method, Method)
        check_choice("empty", empty, Empty)
        check_count(g)
        self.method, self.g, self.empty = method, g, empty

    def forward(
        self, x: Float[Tensor, "n t *feature"], lengths: Int64[Tensor, " n"] | None = None
    ) -> tuple[Float[Tensor, "n g *feature"], Int64[Tensor, "n t"], Int64[Tensor, "n g"]]:
        with torch.no_grad():
            n, t, _ = flatten(x)[0].shape
            dist = hamming_distances(x, lengths) if self.sees_frames else x.new_zeros(n, t - 1)
            labels = self.labels(dist, lengths)
        y, sizes = aggregate(x, labels, self.g)
        return y, labels, sizes

    def labels(
        self, dist: Num[Tensor, "n s"], lengths: Int64[Tensor, " n"] | None = None
    ) -> Int64[Tensor, "n s+1"]:
        """The cluster of every frame, given the distances of neighbours."""
        if self.method == "uniform":
            return uniform_clusters(dist, self.g, lengths=lengths)
        if self.method == "slope":
            return slope_clusters(dist, self.g, lengths=lengths)
        return cumulative_clusters(dist, self.g, empty=self.empty, lengths=lengths)

    @property
    def sees_frames(self) -> bool:
        """Whether labels hang on the distances; those of uniform clusters only on t."""
        return self.method != "uniform"

    def extra_repr(self) -> str:
        return f"{self.method!r}, g={self.g}, empty={self.empty!r}"
