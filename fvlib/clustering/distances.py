"""How much a clip changes from frame to frame: sign bits that differ."""

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from fvlib.clustering.checks import check_lengths, flatten, inside
from fvlib.clustering.compiled import compiled_for


def hamming_distances(
    x: Shaped[Tensor, "n t *feature"], lengths: Int64[Tensor, " n"] | None = None
) -> Int64[Tensor, "n t-1"]:
    """How many sign bits differ between neighbouring frames; a bit is x > 0.

    `dist[:, i]` compares frames i and i + 1, and is 0 where one of them is beyond the clip's
    length. x may have any dtype, feature shape and strides; the counts are exact.

    Raises ValueError for x without frames or with NaN, and for lengths outside 1..t.
    Source: H in Eq. 8. Explained in chapter 02_temporal_clustering.
    """
    flat, _ = flatten(x.detach())
    n, t, _ = flat.shape
    # One row of frames, clip after clip; what lies between two clips is left out below.
    compiled = compiled_for(x.device)
    changes, nan = (compiled.count_changes if compiled else _count_changes)(flat.flatten(0, 1))
    if nan:
        raise ValueError(
            f"x has NaN in {int(x.isnan().sum())} of {x.numel()} places; numbers were wanted. Look "
            "for the layer or the training step that made them."
        )
    dist = changes.view(n, t)[:, 1:]
    return dist if lengths is None else dist * inside(check_lengths(lengths, n, t), t)[:, 1:]


def _count_changes(frames: Tensor) -> tuple[Tensor, Tensor]:
    """As `compiled.cpu.count_changes`, in calls of torch, on a few frames at once."""
    m, features = frames.shape
    changes = torch.zeros(m, dtype=torch.int64, device=frames.device)
    nan = torch.zeros((), dtype=torch.bool, device=frames.device)
    few = max(1, 2**23 // max(1, features))
    for start in range(0, m if features else 0, few):
        part = frames[max(0, start - 1) : start + few]
        signs = part > 0
        changes[max(1, start) : start + few] = (signs[1:] != signs[:-1]).sum(1)
        nan |= part.amax().isnan()
    return changes, nan
