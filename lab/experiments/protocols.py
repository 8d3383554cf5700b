"""How the network of a row is tested: the protocols that its parameters ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fvlib.datasets.sampling import DENSE_VIEWS
from fvlib.evaluation import Protocol

_OF_THE_TEST = ("views", "dense", "stride", "scale", "crop", "crops", "resolution")


def protocols_of(parameters: Mapping[str, Any]) -> dict[str, Protocol]:
    """Both protocols of a row, with its crops; a row without clusters has one with two names.

    A row that is trained on windows is tested on ten of them too.

    Parameters named test_... are the protocol's own, in place of those of training.
    Explained in chapter 07_clusters.
    """
    shown = {key: parameters[key] for key in ("stride", "resolution") if key in parameters}
    own = {key: parameters[f"test_{key}"] for key in _OF_THE_TEST if f"test_{key}" in parameters}
    if "crop" in own:
        shown.pop("resolution", None)
    shown |= own
    whole = {key: value for key, value in shown.items() if key not in ("views", "dense")}
    few = parameters.get("clusters", parameters.get("frames", "all"))
    some = {key: value for key, value in shown.items() if key != "stride"}
    some["sampling"] = parameters.get("sampling", "segments")
    sampled = Protocol("all", False, **whole) if few == "all" else Protocol(few, False, **some)
    if "clusters" not in parameters:
        return dict.fromkeys(("clustered", "sampled"), sampled)
    both = {"clustered": Protocol("all", True, **whole), "sampled": sampled}
    if "window" not in parameters:
        return both
    windows = {"window": parameters["window"], "views": DENSE_VIEWS}
    return {**both, "windows": Protocol("all", True, **whole, **windows)}


def orders_of(protocols: Mapping[str, Protocol], orders: Iterable[str]) -> dict[str, Protocol]:
    """The protocols, and each of them again with the frames in these orders, by name_order.

    Explained in chapter 10_something.
    """
    again = {
        f"{name}_{order}": replace(protocol, order=order)
        for name, protocol in protocols.items()
        for order in orders
    }
    return {**protocols, **again}
