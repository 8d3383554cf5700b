"""How many clusters each clip gets: more where more changes, under a budget for all of them.

One threshold tau holds for all clips: no cluster may hold more change than that. What a cluster
holds depends on the method::

    cumulative   the sum of its distances   g = total change / tau, rounded up
    slope        its largest distance       g = 1 + the number of distances above tau
    uniform      the number of its frames   g = t / tau, rounded up

All three are one rule. Each clip has a list of scores, from the largest to the smallest, and gets a
cluster more for every score above tau: total / 1, total / 2, ... total / (t-1), the distances
themselves, or t / 1, t / 2, ... t / (t-1). A budget for a batch is spent on the largest scores of
the batch. (With quotients as scores, this is how Adams' method shares out seats.) A method without
scores gives every clip the same number: optimal does.
"""

import torch
from jaxtyping import Float, Int64, Num
from torch import Tensor
from torch.nn.functional import pad

from fvlib.clustering.labels import labeling_of
from fvlib.contracts import Labeling, Lengths
from fvlib.values import check_whole


def adaptive_counts(
    dist: Num[Tensor, "n s"],
    mean: int,
    *,
    method: str | Labeling = "cumulative",
    lengths: Lengths = None,
) -> Int64[Tensor, " n"]:
    """A number of clusters for each clip, `mean` on average over the batch.

    Every clip gets at least one cluster and at most as many as it has frames. Nothing is spent
    where nothing changes: a clip without change gets one, and slope never cuts at a distance of 0.
    What a clip cannot use goes to the others; the numbers add up to n·mean, or to less if all clips
    have what they can use. Of equal scores, that of the clip with fewer clusters counts first, then
    that of the earlier clip. The numbers are those of `counts_at` at the threshold `threshold_of`,
    plus what is left of the budget for scores that equal this threshold.

    They are to be given as g to the labels of the same method. Integer distances give exact
    numbers, the same on every device, while a clip's total times its frames is below 2^52.

    Raises:
        ValueError: for mean < 1, an unknown method, and distances or lengths as
            `cumulative_clusters` does.

    Source:
        The limitation that section 5 of the paper names first; Balinski and Young, "Fair
        Representation" (1982), for Adams' method.
    """
    check_whole("mean", mean)
    scores = labeling_of(method).scores(dist, lengths)
    n, scores = len(scores), scores.T.flatten()
    more = min(n * (mean - 1), len(scores))
    best = scores.argsort(descending=True, stable=True)[:more]
    more = (scores[best] > 0).long()
    return torch.ones(n, dtype=torch.int64, device=dist.device).scatter_add(0, best % n, more)


def counts_at(
    dist: Num[Tensor, "n s"],
    tau: float | Float[Tensor, ""],
    *,
    method: str | Labeling = "cumulative",
    lengths: Lengths = None,
) -> Int64[Tensor, " n"]:
    """The fewest clusters of each clip of which none holds more than tau of change.

    Args:
        tau: in sign bits for cumulative and slope, in frames for uniform. Each clip's number
            depends on nothing but itself, and is at most that of its frames. At 0 every frame is a
            cluster, but a clip without change is one alone, and slope never cuts between frames
            that are alike.

    Raises:
        ValueError: for tau that is negative or NaN, and as `adaptive_counts`.
    """
    if not (tau := float(tau)) >= 0:
        raise ValueError(f"tau is {tau}; an amount of change, at least 0, was wanted.")
    return 1 + (labeling_of(method).scores(dist, lengths) > tau).sum(1)


def threshold_of(
    dist: Num[Tensor, "n s"],
    counts: Int64[Tensor, " n"],
    *,
    method: str | Labeling = "cumulative",
    lengths: Lengths = None,
) -> Float[Tensor, ""]:
    """The smallest threshold at which no clip gets more than `counts` clusters, in float64.

    It is the most change that a cluster holds, of clips that could be cut further; 0 if none could.

    Raises:
        ValueError: for counts outside 1..t, and as `adaptive_counts`.
    """
    scores = labeling_of(method).scores(dist, lengths)
    scores = pad(scores, (0, 1))  # a clip of t clusters has no score left
    if counts.shape != (len(scores),) or ((counts < 1) | (counts > scores.shape[1])).any():
        raise ValueError(
            f"counts are {counts.tolist()}; for each of {len(scores)} clips a number from 1 to "
            f"{scores.shape[1]}, that of its frames, was wanted."
        )
    return scores.gather(1, counts[:, None] - 1).max()
