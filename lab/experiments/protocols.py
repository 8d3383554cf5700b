"""How the network of a row is tested: the protocols that its parameters ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fvlib.datasets.sampling import DENSE_VIEWS
from fvlib.evaluation import Protocol
from lab.parameters import Benchmark, Table1


def protocols_of(parameters: Table1 | Benchmark) -> dict[str, Protocol]:
    """Both protocols of a row, with its crops; a row without clusters has one with two names.

    A row that is trained on windows is tested on ten of them too.

    Parameters named test_... are the protocol's own, in place of those of training.
    """
    whole = {
        "stride": parameters.test_stride or parameters.stride,
        "resolution": parameters.test_resolution,
        "scale": parameters.test_scale,
        "crop": parameters.test_crop,
        "crops": parameters.test_crops or 1,
    }
    if parameters.test_crop is None and parameters.test_resolution is None:
        whole["resolution"] = parameters.resolution
    some = {
        **whole,
        "stride": 1,
        "sampling": parameters.sampling,
        "views": parameters.test_views or 1,
        "dense": bool(parameters.test_dense),
    }
    few = parameters.clusters or parameters.frames
    sampled = Protocol("all", False, **whole) if few == "all" else Protocol(few, False, **some)
    if parameters.clusters is None:
        return dict.fromkeys(("clustered", "sampled"), sampled)
    both = {"clustered": Protocol("all", True, **whole), "sampled": sampled}
    if parameters.window is None:
        return both
    windows = {"window": parameters.window, "views": DENSE_VIEWS}
    return {**both, "windows": Protocol("all", True, **whole, **windows)}


def orders_of(protocols: Mapping[str, Protocol], orders: Iterable[str]) -> dict[str, Protocol]:
    """The protocols, and each of them again with the frames in these orders, by name_order."""
    again = {
        f"{name}_{order}": replace(protocol, order=order)
        for name, protocol in protocols.items()
        for order in orders
    }
    return {**protocols, **again}
