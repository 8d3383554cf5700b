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
    n, t, features = flat.shape
    frames = flat.flatten(0, 1)  # one row of frames; what lies between two clips is left out below
    frames = frames.view(torch.uint8) if x.dtype == torch.bool else frames
    dist = torch.zeros(n * t, dtype=torch.int64, device=x.device)
    nan = torch.zeros((), dtype=torch.bool, device=x.device)
    # A piece of frames is read from memory once: what follows finds it in the cache. Whole frames
    # are read faster than strips of many. Their bits, one byte each, wait until a run of pieces is
    # through; then few calls compare them, eight as one int64 word. The differences of up to 128
    # words are added before their bytes are: no byte passes 255, so none carries into the next.
    some = max(1, features)
    words = min(128, math.ceil(some / 8))
    piece = max(1, (2**19 if x.device.type == "cpu" else 2**23) // some)
    run = min(n * t, piece * (4 if x.device.type == "cpu" else 1))
    width = 8 * words * math.ceil(some / (8 * words))
    bits = torch.zeros(run + 1, width, dtype=torch.bool, device=x.device)
    word, differ = bits.view(torch.int64), torch.empty_like(bits[1:]).view(torch.int64)
    for start in range(0, n * t if features else 0, run):
        part = frames[start : start + run]
        for few, out in zip(part.split(piece), bits[1:, :features].split(piece), strict=False):
            nan |= _write_signs(few, out[: len(few)])
        m = len(part)
        torch.bitwise_xor(word[1 : m + 1], word[:m], out=differ[:m])
        sums = differ[:m].view(m, -1, words).sum(2)
        dist[start : start + m] = sums.view(torch.uint8).sum(1)
        bits[0] = bits[m]
    dist = dist.view(n, t)[:, 1:]
    if nan:
        raise ValueError(
            f"x has NaN in {int(x.isnan().sum())} of {x.numel()} places; numbers were wanted. Look "
            "for the layer or the training step that made them."
        )
    return dist if lengths is None else dist * inside(check_lengths(lengths, n, t), t)[:, 1:]


def _write_signs(x: Tensor, out: Tensor) -> Tensor | bool:
    """Writes x > 0 to out, and says whether x has NaN."""
    if x.device.type != "cpu":
        torch.gt(x, 0, out=out)
        return x.amin().isnan()
    # A comparison is not SIMD here, a conversion to bool is: x != 0, the same after a ReLU. Nor are
    # 16-bit floats fast: as integers they have the same signs, and only NaN needs the float.
    short = x.dtype in (torch.bfloat16, torch.float16)
    number = x.view(torch.int16) if short else x
    lowest = number.amin()
    out.copy_(number if lowest >= 0 else number.clamp(min=0))
    return x.sum().isnan() and x.isnan().any() if short else lowest.isnan()
