"""The one registry of labelings: what a method is called, and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor

from fvlib.clustering import METHOD_NAMES
from fvlib.clustering.checks import check_choice
from fvlib.clustering.labels import (
    EMPTY,
    cumulative_clusters,
    cumulative_scores,
    optimal_clusters,
    slope_clusters,
    slope_scores,
    uniform_clusters,
    uniform_scores,
)
from fvlib.contracts import Labeling


@dataclass(frozen=True)
class Method:
    """A `Labeling` made of functions.

    cut: (seen, g, lengths=...) -> labels. score: (dist, lengths) -> what further clusters are
    worth, None for a method whose clips all get g. Other fields as in `Labeling`.
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

    def scores(self, dist: Tensor, lengths: Tensor | None = None) -> Tensor:
        if self.score is None:
            raise ValueError(
                f"method {self.name!r} cuts every clip into g; it has no scores by which clips get "
                "different numbers of clusters. Leave adaptive out, or take another method."
            )
        return self.score(dist, lengths)


_KNOWN = (
    Method("cumulative", cumulative_clusters, "distances", cumulative_scores),
    Method("slope", slope_clusters, "distances", slope_scores),
    Method("uniform", uniform_clusters, "nothing", uniform_scores),
    Method("optimal", optimal_clusters, "activations"),
)
METHODS: dict[str, Labeling] = {method.name: method for method in _KNOWN}
if tuple(METHODS) != METHOD_NAMES:
    raise ImportError(f"METHOD_NAMES are {METHOD_NAMES}, and the methods {tuple(METHODS)}")


def labeling_of(method: str | Labeling, empty: str = "split") -> Labeling:
    """The labeling of a name, or one that was given as it is.

    empty: "keep" is the cumulative rule with the empty segments of the paper's formula.
    Raises ValueError for an unknown name or empty, and for "keep" of a rule without empty segments.
    """
    check_choice("empty", empty, EMPTY)
    if not isinstance(method, Labeling) or isinstance(method, type):
        check_choice("method", method, METHOD_NAMES)
        method = METHODS[method]
    if empty == "split":
        return method
    if method != METHODS["cumulative"]:
        raise ValueError(
            f"empty is {empty!r} for method {method.name!r}; it says what 'cumulative' does with "
            "empty segments, and other methods have none. Leave it out."
        )
    return replace(method, cut=partial(cumulative_clusters, empty=empty), may_be_empty=True)
