"""Temporal clustering: from t frames to g averaged frames (section 3.3 of the paper).

    dist = hamming_distances(x)             how many signs change between neighbouring frames
    labels = cumulative_clusters(dist, g)   or slope_clusters(dist, g), uniform_clusters(t, g)
    y, sizes = aggregate(x, labels, g)      the mean frame of each cluster

`TemporalClustering` is the three as one layer of a network. All of it is batched over clips and
stays on the device of x. g is one number, or one per clip, as `adaptive_counts` makes them from
the distances.

Clips of different length share a batch when `lengths` says how many frames of each are real; the
others get label -1 and touch nothing. A clip with fewer frames than g gets one cluster per frame,
and its last clusters have size 0. Only without lengths is a number g above t an error.
"""

from fvlib.clustering.adaptive import adaptive_counts, counts_at, threshold_of
from fvlib.clustering.averages import aggregate, cluster_sizes
from fvlib.clustering.distances import hamming_distances
from fvlib.clustering.labels import (
    Empty,
    Method,
    cumulative_clusters,
    slope_clusters,
    uniform_clusters,
)
from fvlib.clustering.layer import TemporalClustering

__all__ = [
    "Empty",
    "Method",
    "TemporalClustering",
    "adaptive_counts",
    "aggregate",
    "cluster_sizes",
    "counts_at",
    "cumulative_clusters",
    "hamming_distances",
    "slope_clusters",
    "threshold_of",
    "uniform_clusters",
]
