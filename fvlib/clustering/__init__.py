"""Temporal clustering: from t frames to g averaged frames (section 3.3 of the paper)::

    dist = hamming_distances(x)             how many signs change between neighbouring frames
    labels = cumulative_clusters(dist, g)   or slope_clusters(dist, g), uniform_clusters(t, g),
                                            optimal_clusters(x, g)
    y, sizes = aggregate(x, labels, g)      the mean frame of each cluster

`TemporalClustering` is the three as one layer of a network. All of it is batched over clips and
stays on the device of x. g is one number, or one per clip, as `adaptive_counts` makes them from
the distances. `METHODS` has every way to cut a clip by its name; a new one is an entry there.

Clips of different length share a batch when `lengths` says how many frames of each are real; the
others get label -1 and touch nothing. A clip with fewer frames than g gets one cluster per frame,
and its last clusters have size 0. Only without lengths is a number g above t an error.

Names are loaded when they are first used: to know `METHOD_NAMES`, nobody waits for torch, since
they are read off the text of the registry.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

_REGISTRY = Path(__file__).with_name("labels.py").read_text("utf-8")
METHOD_NAMES: tuple[str, ...] = tuple(re.findall(r'^    Method\("(\w+)"', _REGISTRY, re.MULTILINE))

_HOMES = {
    "adaptive": ("adaptive_counts", "counts_at", "threshold_of"),
    "averages": ("aggregate", "cluster_sizes"),
    "distances": ("hamming_distances",),
    "labels": (
        *("METHODS", "cumulative_clusters", "labeling_of", "optimal_clusters", "slope_clusters"),
        "uniform_clusters",
    ),
    "layer": ("TemporalClustering",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["METHOD_NAMES", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
