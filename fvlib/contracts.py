"""What others can implement: the protocols that the parts of this library know of one another.

Nothing has to inherit from them; an object with these attributes and methods is enough.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float64, Int64, Num
from torch import Tensor


@runtime_checkable
class Labeling(Protocol):
    """A rule that cuts clips along time: which cluster each of their frames belongs to.

    name: what messages call it. needs: what its labels follow from. may_be_empty: whether a cluster
    may be without frames although no clip is shorter than g. adaptive: whether `scores` says how
    many clusters a clip is worth.
    """

    name: str
    needs: Literal["nothing", "distances", "activations"]
    may_be_empty: bool
    adaptive: bool

    def labels(
        self,
        seen: Num[Tensor, "n ..."],
        g: int | Int64[Tensor, " n"],
        lengths: Int64[Tensor, " n"] | None = None,
    ) -> Int64[Tensor, "n t"]:
        """Labels 0..g-1 that ascend along time, -1 beyond a clip's length.

        seen: the activations (n, t, *feature) where the rule needs them; otherwise the distances of
        neighbouring frames (n, t-1), of which only the shape counts where it needs nothing. g: one
        number, or one for each clip; a clip shorter than g gets as many clusters as frames.
        """

    def scores(
        self, seen: Num[Tensor, "n ..."], lengths: Int64[Tensor, " n"] | None = None
    ) -> Float64[Tensor, "n s"]:
        """What each clip's second, third, ... cluster is worth, descending, 0 if it has no use."""
