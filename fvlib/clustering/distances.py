"""How much a clip changes from frame to frame: sign bits that differ."""

import math

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from fvlib.clustering.checks import check_lengths, flatten, inside, values_at_once
from fvlib.contracts import Lengths

_WORDS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by their bytes


def hamming_distances(
    x: Shaped[Tensor, "n t *feature"], lengths: Lengths = None
) -> Int64[Tensor, "n t-1"]:
    """How many sign bits differ between neighbouring frames; a bit is x > 0.

    `dist[:, i]` compares frames i and i + 1, and is 0 where one of them is beyond the clip's
    length. x may have any feature shape and strides, and be of floats, integers or bool; the counts
    are exact, the same on every device.

    Raises:
        ValueError: for x without frames or with NaN, and for lengths outside 1..t.

    Source:
        H in Eq. 8.
    """
    flat, _ = flatten(x)
    flat = flat.detach()
    n, t, _ = flat.shape
    if lengths is not None:
        check_lengths(lengths, n, t)
    # One row of frames, clip after clip; what lies between two clips is left out here.
    dist = _changes(flat.flatten(0, 1)).view(n, t)[:, 1:]
    return dist if lengths is None else dist * inside(lengths, t)[:, 1:]


def _changes(frames: Tensor) -> Tensor:
    """How many bits of each frame (m, features) differ from the frame before; any for the first.

    A few frames at a time are read from memory once: what follows finds them in the cache. Their
    bits, a byte each, are compared eight at once as an int64 word, and the differences of up to 128
    words are added before their bytes are: no byte passes 255, so none carries into the next.
    """
    m, features = frames.shape
    if not features:
        return torch.zeros(m, dtype=torch.int64, device=frames.device)
    floats = frames.is_floating_point()
    # As integers, floats have the signs that they have (but for NaN), and are compared faster.
    word = _WORDS[frames.itemsize] if floats else torch.uint8
    numbers = frames.contiguous().view(word) if floats or frames.dtype == torch.bool else frames
    few = max(1, min(m, values_at_once(frames.device) // features))
    words = min(128, math.ceil(features / 8))
    width = 8 * words * math.ceil(features / (8 * words))
    bits = torch.zeros(few + 1, width, dtype=torch.uint8, device=frames.device)
    differ = torch.empty_like(bits[1:]).view(torch.int64)
    changes = torch.zeros(m, dtype=torch.int64, device=frames.device)
    for start in range(0, m, few):
        part = numbers[start : start + few]
        torch.gt(part, 0, out=bits[1 : len(part) + 1, :features])
        eights, found = bits[: len(part) + 1].view(torch.int64), differ[: len(part)]
        torch.bitwise_xor(eights[1:], eights[:-1], out=found)
        sums = found.view(len(part), -1, words).sum(2)
        changes[start : start + few] = sums.view(torch.uint8).sum(1)
        bits[0] = bits[len(part)]
    # A sum is NaN for inf - inf as well.
    if floats and frames.sum().isnan() and (count := int(frames.isnan().sum())):
        raise ValueError(
            f"x has NaN in {count} of {frames.numel()} places; numbers were wanted. Look for the "
            "layer or the training step that made them."
        )
    return changes
