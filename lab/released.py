"""What the published code does otherwise than the paper says, each difference by itself.

Described from the behaviour of its ResNet-18 and ResNet-50 files and written anew. A row of the
recipe file names them in `released`; `with_switches` changes a network, and the tests after
training are an experiment's. Those that need no code of their own are parameters of
the row: epochs without clusters, crops, mirrored clips, windows.

The cumulative rule there breaks three laws that `fvlib.clustering` obeys: frames after the last
flush are in no cluster, so sizes do not sum to t and the clusters' mean is not the frames' mean; a
cluster may be given twice, so a frame's gradient is not its cluster's gradient / size; and g = t is
not the identity. The slope rule breaks none: it differs in ties only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int64, Num
from torch import Tensor

from fvlib import clustering
from fvlib.clustering import TemporalClustering
from fvlib.contracts import Lengths
from fvlib.models import TSMResNet

Rule = Literal["clusters", "last dropped"]
Switch = Literal[Rule, "tests"]


@dataclass(frozen=True)
class PublishedRule:
    """A `Labeling` by the published rules.

    Args:
        rule: "clusters" is what was published, of either method. The cumulative rule departs from
            the paper's in two ways: it counts one by one, and it drops the last cluster. "last
            dropped" is the second alone: the clusters of `fvlib.clustering` but for the last.

    Raises:
        ValueError: for other methods, for other rules of the slope method, and as the rules below
            do; also for clips of different lengths, which the published code does not have.
    """

    name: str
    rule: Rule = "clusters"
    needs: ClassVar = "distances"
    may_be_empty: ClassVar = False
    adaptive: ClassVar = False

    def __post_init__(self) -> None:
        if (self.name, self.rule) not in PUBLISHED:
            raise ValueError(
                f"rule is {self.rule!r} and method {self.name!r}; wanted cumulative with one of "
                f"{', '.join(get_args(Rule))}, or slope with clusters"
            )

    def labels(
        self, seen: Num[Tensor, "n s"], g: int, lengths: Lengths = None
    ) -> Int64[Tensor, "n s+1"]:
        """The cluster of every frame, -1 for those that are in none."""
        if lengths is not None:
            raise ValueError("lengths are given; the published rules want clips of one length")
        return PUBLISHED[self.name, self.rule](seen, g)

    def scores(self, seen: Tensor, lengths: Tensor | None = None) -> Tensor:
        """There are none: the published code gives every clip g clusters."""
        raise ValueError("the published rules give every clip g clusters; leave adaptive out")


class ReleasedClustering(TemporalClustering):
    """`TemporalClustering` by a published rule: t frames in, g out; no parameters.

    Where a rule makes fewer than g clusters, the last is repeated until there are g.
    Errors are those of `PublishedRule`.
    """

    def __init__(self, method: str, g: int, *, rule: Rule = "clusters") -> None:
        super().__init__(PublishedRule(method, rule), g)

    def forward(
        self, x: Float[Tensor, "n t *feature"], lengths: Lengths = None
    ) -> tuple[Float[Tensor, "n g *feature"], Int64[Tensor, "n t"], Int64[Tensor, "n g"]]:
        y, labels, sizes = super().forward(x, lengths)
        source = repeated(labels, self.g)
        each = torch.arange(len(y), device=y.device)[:, None]
        return y[each, source], labels, sizes.gather(1, source)

    def extra_repr(self) -> str:
        return f"{self.method!r}, g={self.g}, rule={self.labeling.rule!r}"


def with_switches(model: TSMResNet, switches: Collection[str]) -> TSMResNet:
    """The network, changed in place, with those of the switches that are about networks.

    A rule of `ReleasedClustering` replaces the rule of its clustering step, if it has one.

    Raises:
        ValueError: for an unknown switch, for more than one rule, and for a rule in a network that
            works in chunks.
    """
    if unknown := sorted(set(switches) - {*get_args(Switch)}):
        known = ", ".join(get_args(Switch))
        raise ValueError(f"released names {', '.join(unknown)}; there are {known}")
    rules = [switch for switch in switches if switch in get_args(Rule)]
    if len(rules) > 1 or (rules and model.chunk is not None):
        raise ValueError(
            f"released names the rules {', '.join(rules)}, chunk is {model.chunk}; give one rule, "
            "and no chunk, since the published rules are not made to see frames in parts"
        )
    if rules and model.clustering is not None:
        method, g = model.clustering.method, model.clustering.g
        model.clustering = ReleasedClustering(method, g, rule=rules[0])
    return model


@contextmanager
def alone(model: TSMResNet) -> Iterator[None]:
    """As long as it lasts, what the published network does with a clip that is alone in its batch
    (or in its GPU's part of it): nothing is shifted, so that no frame knows of another.
    """
    shifted = [block for block in model.modules() if getattr(block, "shift", False)]
    try:
        for block in shifted:
            block.shift = False
        yield
    finally:
        for block in shifted:
            block.shift = True


def one_by_one(dist: Num[Tensor, "n s"], g: int) -> Int64[Tensor, "n s+1"]:
    """The groups of the published cumulative rule, the last one too.

    Frames join a group while C_k <= count·C_last / g. The first that does not starts the next, and
    count rises by one, even after a jump over several segments: the frames behind such a jump then
    stay alone until count has caught up. There may be fewer than g groups, and never more.
    Compared in float64, as published; dist / features in place of counts repeats its rounding too.
    """
    clustering.slope_clusters(dist, g)  # which refuses what it cannot cluster
    done = torch.nn.functional.pad(dist.double().cumsum(1), (1, 0))
    step = done[:, -1] / g
    count = torch.ones_like(step)
    labels = torch.zeros_like(done, dtype=torch.int64)
    for k in range(done.shape[1]):  # a frame's group depends on the one before
        count += done[:, k] > step * count
        labels[:, k] = count.long() - 1
    return labels


def published_cumulative(dist: Num[Tensor, "n s"], g: int) -> Int64[Tensor, "n s+1"]:
    """The labels of the published cumulative rule.

    A group of `one_by_one` is flushed when the next one starts, so the last never is: its frames
    get label -1. Of a static clip the first g frames are taken.

    Raises:
        ValueError: for clips on which the published code fails: fewer than two groups flushed, as
            with g = 1 or with all the motion in the last transition.
    """
    labels = one_by_one(dist, g)
    flushed = labels[:, -1:]
    static = (dist == 0).all(1, keepdim=True)
    if ((flushed < min(g, 2)) & ~static).any():
        raise ValueError(
            f"with g = {g} the published rule makes fewer than two clusters of some clip, on which "
            "its code fails; use fvlib.clustering.cumulative_clusters."
        )
    frame = torch.arange(labels.shape[1], device=dist.device)
    labels = torch.where(static, frame, labels)
    return labels.masked_fill(labels >= torch.where(static, g, flushed), -1)


def published_slope(dist: Num[Tensor, "n s"], g: int) -> Int64[Tensor, "n s+1"]:
    """The labels of the published slope rule: cut at the g-1 largest distances, the later first
    among equal ones.

    Raises:
        ValueError: for g = 1 and t other than 32, where the published code divides the sum of all
            frames by 32.
    """
    clustering.slope_clusters(dist, g)  # which refuses what it cannot cluster
    if g == 1 and dist.shape[1] != 31:
        raise ValueError(
            f"g is 1 and t is {dist.shape[1] + 1}; the published code divides by 32 here. Use "
            "fvlib.clustering.slope_clusters."
        )
    # Read backwards, the later of two equal distances is the earlier one.
    return g - 1 - clustering.slope_clusters(dist.flip(1), g).flip(1)


def repeated(labels: Int64[Tensor, "n t"], g: int) -> Int64[Tensor, "n g"]:
    """Which cluster fills each of g outputs: the last is repeated until there are g."""
    return torch.arange(g, device=labels.device).minimum(labels.amax(1, keepdim=True))


def last_dropped(dist: Num[Tensor, "n s"], g: int) -> Int64[Tensor, "n s+1"]:
    """The labels of `fvlib.clustering.cumulative_clusters`, but -1 in place of the last one."""
    labels = clustering.cumulative_clusters(dist, g)
    return labels.masked_fill(labels == max(g - 1, 1), -1)


PUBLISHED = {
    ("cumulative", "clusters"): published_cumulative,
    ("cumulative", "last dropped"): last_dropped,
    ("slope", "clusters"): published_slope,
}
