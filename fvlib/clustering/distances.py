"""How much a clip changes from frame to frame: sign bits that differ."""

import math

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from fvlib.clustering.checks import check_lengths, flatten, inside


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
    flat = flat.byte() if x.dtype == torch.bool else flat
    n, t, features = flat.shape
    dist = torch.zeros(n, t - 1, dtype=torch.int64, device=x.device)
    total = torch.zeros((), device=x.device)
    # Eight bits, one byte each, are compared as one int64 word. The differences of up to 255 words
    # are added before their bytes are: no byte passes 255, so none carries into the next. Features
    # go in chunks that a processor's cache holds; an accelerator prefers few and large ones.
    words = max(1, min(255, math.ceil(features / 8)))
    chunk = 2**20 if x.device.type == "cpu" else 2**24
    chunk = min(max(1, chunk // (8 * words * n * t or 1)), math.ceil(features / (8 * words)) or 1)
    positive = flat.new_zeros(n, t, chunk * words * 8)
    bits = torch.zeros_like(positive, dtype=torch.bool)
    for part in flat.split(positive.shape[2], dim=2):
        torch.clamp(part, min=0, out=positive[..., : part.shape[2]])
        positive[..., part.shape[2] :] = 0
        total += positive.sum()  # nothing is below 0, so only NaN in x makes this NaN
        bits.copy_(positive)  # with the clamp twice as fast as a comparison, which is not SIMD
        word = bits.view(torch.int64).unflatten(2, (chunk, words))
        sums = (word[:, 1:] ^ word[:, :-1]).sum(3)
        dist += sums.view(torch.uint8).sum(2)
    if total.isnan():
        raise ValueError(
            f"x has NaN in {int(x.isnan().sum())} of {x.numel()} places; numbers were wanted. Look "
            "for the layer or the training step that made them."
        )
    return dist if lengths is None else dist * inside(check_lengths(lengths, n, t), t)[:, 1:]
