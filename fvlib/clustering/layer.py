"""Distances, labels and means as one layer of a network."""

import torch
from jaxtyping import Float, Int64, Num
from torch import Tensor, nn

from fvlib.clustering.adaptive import adaptive_counts, counts_at, threshold_of
from fvlib.clustering.averages import aggregate
from fvlib.clustering.checks import flatten
from fvlib.clustering.distances import hamming_distances
from fvlib.clustering.labels import labeling_of
from fvlib.contracts import Labeling, Lengths
from fvlib.values import check_whole

_MOMENTUM = 0.1  # of the threshold's average, as BatchNorm has it for its statistics


class TemporalClustering(nn.Module):
    """Clusters the frames of each clip and averages them: t frames in, g out; no parameters.

    `forward(x, lengths=None)` gives (y, labels, sizes). Labels are found without gradient, means
    pass it on. `empty` is what cumulative clustering does with empty segments.

    Args:
        adaptive: g is the mean number of clusters, and a clip in which more changes gets more of
            them (see `adaptive_counts`). y then has as many as the clip that has most, and a clip's
            last ones have size 0. Training shares out the clusters of each batch; `threshold`, a
            buffer, follows the threshold of these batches as a running average with momentum 0.1.
            In evaluation mode it alone says how many clusters a clip gets, so no clip depends on
            those beside it, and the mean is g only as far as the clips are like those of training.
            It is in float64, and infinite before the first batch.
        method: a name of `METHODS`, or a `fvlib.contracts.Labeling` of one's own.

    Raises:
        ValueError: for an unknown method or empty, for g < 1, for adaptive numbers by a method that
            has none, in evaluation mode if it is adaptive and has seen no batch in training mode,
            and as the functions above do.

    Source:
        Section 3.3, Fig. 2.
    """

    threshold: Tensor

    def __init__(
        self, method: str | Labeling, g: int, *, empty: str = "split", adaptive: bool = False
    ) -> None:
        super().__init__()
        check_whole("g", g)
        self.labeling = labeling_of(method, empty)
        if adaptive and not self.labeling.adaptive:
            raise ValueError(
                f"adaptive is True for method {self.labeling.name!r}, which cuts every clip into g;"
                " leave it out, or take a method with scores."
            )
        self.method, self.g, self.empty, self.adaptive = self.labeling.name, g, empty, adaptive
        if adaptive:
            infinite = torch.tensor(torch.inf, dtype=torch.float64)
            self.register_buffer("threshold", infinite)

    def forward(
        self, x: Float[Tensor, "n t *feature"], lengths: Lengths = None
    ) -> tuple[Float[Tensor, "n g *feature"], Int64[Tensor, "n t"], Int64[Tensor, "n g"]]:
        with torch.no_grad():
            if self.labeling.needs == "nothing":
                n, t, _ = flatten(x)[0].shape
                seen = x.new_zeros(n, t - 1)
            else:
                distances = self.labeling.needs == "distances"
                seen = hamming_distances(x, lengths) if distances else x
            labels = self.labels(seen, lengths)
        y, sizes = aggregate(x, labels, self.count(labels))
        return y, labels, sizes

    def labels(self, seen: Num[Tensor, "n ..."], lengths: Lengths = None) -> Int64[Tensor, "n t"]:
        """The cluster of every frame, given what the labeling needs: see `Labeling.labels`.

        In training mode an adaptive layer's threshold follows: call it once for a batch.
        """
        g = self._counts(seen, lengths) if self.adaptive else self.g
        return self.labeling.labels(seen, g, lengths)

    def count(self, labels: Int64[Tensor, "n t"]) -> int:
        """How many clusters the output has: g, or as many as the clip that has most."""
        return int(labels.max()) + 1 if self.adaptive else self.g

    @property
    def may_be_empty(self) -> bool:
        """Whether a cluster may be without frames although no clip is shorter than g."""
        return self.labeling.may_be_empty or self.adaptive

    def extra_repr(self) -> str:
        adaptive = ", adaptive=True" if self.adaptive else ""
        return f"{self.method!r}, g={self.g}, empty={self.empty!r}{adaptive}"

    def _counts(self, seen: Tensor, lengths: Tensor | None) -> Tensor:
        options = {"method": self.labeling, "lengths": lengths}
        old = self.threshold
        if not self.training:
            if old.isinf():
                raise ValueError(
                    "threshold is infinite; a finite one was wanted to say how many clusters a "
                    "clip gets. Show a batch in training mode first, or load a checkpoint that "
                    "has one; float16 cannot hold it."
                )
            return counts_at(seen, old, **options)
        counts = adaptive_counts(seen, self.g, **options)
        new = threshold_of(seen, counts, **options).to(old)
        old.copy_(new.where(old.isinf(), old.lerp(new, _MOMENTUM)))
        return counts
